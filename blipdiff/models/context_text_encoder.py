"""The context text encoder: CLIP's text transformer with the subject's rows put among the words.

BLIP-Diffusion (Li et al. 2023, arXiv:2305.14720, sec. 3.2): the rows stand between "a" and the category's word.
They are put in before the positions are added, and attention is always causal; padding is not masked, as in
Stable Diffusion.
"""

import torch
from torch import Tensor, nn

from blipdiff.errors import ShapeError
from blipdiff.models.layers import Block, attend
from blipdiff.models.sizes import TextSizes


class TextEmbeddings(nn.Module):
    """Token and position tables."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position_embedding = nn.Embedding(sizes.positions, sizes.width)


class CausalAttention(nn.Module):
    """Self-attention in which no position sees a later one."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.k_proj = nn.Linear(sizes.width, sizes.width)
        self.v_proj = nn.Linear(sizes.width, sizes.width)
        self.q_proj = nn.Linear(sizes.width, sizes.width)
        self.out_proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        mixed = attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, causal=True)
        return self.out_proj(mixed)  # type: ignore[no-any-return]


class TextBlocks(nn.Module):
    """The stack of blocks, under the checkpoint's name for it."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(CausalAttention(sizes), sizes) for _ in range(sizes.depth))


class TextModel(nn.Module):
    """Tables, blocks and the final norm, under the checkpoint's prefix `text_model`."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(sizes)
        self.encoder = TextBlocks(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.width, eps=sizes.eps)


class ContextTextEncoder(nn.Module):
    """Token ids, and optionally a subject -> conditioning for the U-Net's cross-attention."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.text_model = TextModel(sizes)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.text_model.final_layer_norm.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.text_model.final_layer_norm.weight.device

    def forward(
        self,
        ids: Tensor,
        subject_tokens: Tensor | None = None,
        insert_at: int = 2,
        added_words: Tensor | None = None,
    ) -> Tensor:
        """ids (n, words), subject_tokens (n, 16, width) -> (n, words [+ 16], width), final norm applied.

        added_words: (k, width), the rows that ids beyond the table's own stand for

        Raises: ShapeError when there are more positions than the model has, or the subject is of another width.
        """
        x = self._words(ids, added_words)
        if subject_tokens is not None:
            if subject_tokens.shape[::2] != (len(ids), self.sizes.width):
                raise ShapeError(
                    f"Subject embeddings must be ({len(ids)}, 16, {self.sizes.width}), "
                    f"not {tuple(subject_tokens.shape)}."
                )
            x = torch.cat([x[:, :insert_at], subject_tokens.to(x.dtype), x[:, insert_at:]], dim=1)
        if x.shape[1] > self.sizes.positions:
            raise ShapeError(f"The text encoder has {self.sizes.positions} positions, not {x.shape[1]}.")
        x = x + self.text_model.embeddings.position_embedding(torch.arange(x.shape[1], device=x.device))
        for layer in self.text_model.encoder.layers:
            x = layer(x)
        return self.text_model.final_layer_norm(x)  # type: ignore[no-any-return]

    def _words(self, ids: Tensor, added: Tensor | None) -> Tensor:
        table, own = self.text_model.embeddings.token_embedding, self.sizes.vocabulary
        if added is None:
            return table(ids)  # type: ignore[no-any-return]
        rows = table(ids.clamp(max=own - 1))
        given = added.to(rows)[(ids - own).clamp(min=0)]
        return torch.where((ids >= own)[..., None], given, rows)
