"""The subject encoder: photos and their category -> 16 subject embeddings in the text encoder's width."""

import torch
from torch import Tensor, nn

from blipdiff.errors import ShapeError
from blipdiff.models.layers import quick_gelu
from blipdiff.models.qformer import Embeddings, QFormer
from blipdiff.models.sizes import SubjectEncoderSizes
from blipdiff.models.vit import VisionTrunk


class Projection(nn.Module):
    """x + W2 quick_gelu(W1 LN(x)): from the Q-Former's rows to rows among words (arXiv:2305.14720, sec. 3.2)."""

    def __init__(self, width: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.dense1 = nn.Linear(width, 4 * width)
        self.dense2 = nn.Linear(4 * width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dense2(quick_gelu(self.dense1(self.LayerNorm(x))))  # type: ignore[no-any-return]


class SubjectEncoder(nn.Module):
    """Vision trunk, Q-Former and projection, with the parameter names of published checkpoints."""

    def __init__(self, sizes: SubjectEncoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.query_tokens = nn.Parameter(torch.randn(1, sizes.qformer.queries, sizes.qformer.width) * 0.02)
        self.visual_encoder = VisionTrunk(sizes.vision)
        self.embeddings = Embeddings(sizes.qformer)
        self.encoder = QFormer(sizes.qformer, sizes.vision.width)
        self.proj_layer = Projection(sizes.qformer.width)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.query_tokens.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.query_tokens.device

    def forward(self, pictures: Tensor, category_ids: Tensor, category_mask: Tensor) -> Tensor:
        """pictures (n, 3, side, side) normalised, category_ids and category_mask (n, words) -> (n, 16, width).

        Raises: ShapeError for pictures of another size, a count of categories that is not n, or too many words.
        """
        if len(category_ids) != len(pictures) or category_mask.shape != category_ids.shape:
            raise ShapeError(
                f"{len(pictures)} pictures need as many categories with a mask of the same shape, "
                f"not ids {tuple(category_ids.shape)} and mask {tuple(category_mask.shape)}."
            )
        if category_ids.shape[1] > self.sizes.qformer.positions:
            raise ShapeError(
                f"A category has at most {self.sizes.qformer.positions} tokens, not {category_ids.shape[1]}."
            )
        return self.proj_layer(self.queries_after(pictures, category_ids, category_mask))  # type: ignore[no-any-return]

    def queries_after(self, pictures: Tensor, category_ids: Tensor, category_mask: Tensor) -> Tensor:
        """The 16 query rows of the Q-Former, before the projection: (n, 16, width)."""
        features = self.visual_encoder(pictures.to(self.dtype))
        count = self.sizes.qformer.queries
        rows = self.embeddings(category_ids, self.query_tokens.expand(len(pictures), -1, -1))
        seen = torch.cat([category_mask.new_ones(len(pictures), count), category_mask], dim=1).bool()
        return self.encoder(rows, features, count, seen[:, None, None, :])[:, :count]  # type: ignore[no-any-return]
