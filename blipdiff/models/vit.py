"""The vision trunk: picture -> one row of features for each patch.

CLIP ViT-L/14 (Radford et al. 2021, arXiv:2103.00020) without its last block, its final norm and projection;
BLIP-2's `ln_vision` (Li et al. 2023, arXiv:2301.12597), stored as `post_layernorm`, runs over all rows instead.
"""

import torch
from torch import Tensor, nn

from blipdiff.errors import ShapeError
from blipdiff.models.layers import Block, attend
from blipdiff.models.sizes import VisionSizes


class PatchEmbeddings(nn.Module):
    """A linear map of each patch, a class row before them, learned positions."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.position_embedding = nn.Parameter(torch.randn(1, sizes.patches, sizes.width) * 0.02)
        self.patch_embedding = nn.Conv2d(3, sizes.width, sizes.patch, stride=sizes.patch, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = self.patch_embedding(pictures).flatten(2).transpose(1, 2)  # (n, patches, width)
        class_row = self.class_embedding.expand(len(pictures), -1, -1)
        return torch.cat([class_row, patches], dim=1) + self.position_embedding


class SelfAttention(nn.Module):
    """Self-attention with one fused map for query, key and value."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width)
        self.projection = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return self.projection(attend(query, key, value, self.heads))  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """The stack of blocks, under the checkpoint's name for it."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(SelfAttention(sizes), sizes) for _ in range(sizes.depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class VisionTrunk(nn.Module):
    """Pictures -> features of the class row and of every patch, normalised."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = PatchEmbeddings(sizes)
        self.pre_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.encoder = Blocks(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures (n, 3, side, side), normalised -> (n, patches, width).

        Raises: ShapeError when the pictures are not of the size that the positions were learned for.
        """
        side = self.sizes.picture
        if pictures.shape[1:] != (3, side, side):
            raise ShapeError(
                f"The vision trunk takes pictures of shape (n, 3, {side}, {side}), not {tuple(pictures.shape)}."
            )
        x = self.pre_layernorm(self.embeddings(pictures))
        return self.post_layernorm(self.encoder(x))  # type: ignore[no-any-return]
