"""The multimodal Q-Former: queries and words in one stack; the queries also look at the picture.

BLIP-2 (Li et al. 2023, arXiv:2301.12597, sec. 3.1) in the form of BLIP-Diffusion (arXiv:2305.14720, sec. 3.1):
cross-attention in every layer, and the category's words beside the queries. Which row may look at which is the
caller's mask, so that one set of weights serves the subject encoder and the three pre-training objectives.
"""

import torch
from torch import Tensor, nn

from blipdiff.models.layers import activation, attend
from blipdiff.models.sizes import QFormerSizes


class Embeddings(nn.Module):
    """[queries ; words + positions], normalised together: positions are given to the words only."""

    def __init__(self, sizes: QFormerSizes) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position_embeddings = nn.Embedding(sizes.positions, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, ids: Tensor | None, queries: Tensor | None) -> Tensor:
        """ids (n, words), queries (n, 16, width); one of the two may be absent -> (n, 16 + words, width)."""
        rows = [] if queries is None else [queries]
        if ids is not None:
            positions = torch.arange(ids.shape[1], device=ids.device)
            words = self.word_embeddings(ids) + self.position_embeddings(positions)
            rows.append(words if queries is None else words.to(queries.dtype))
        return self.LayerNorm(torch.cat(rows, dim=1))  # type: ignore[no-any-return]


class Projections(nn.Module):
    """Query, key and value maps; keys and values may come from rows of another width."""

    def __init__(self, width: int, source_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(source_width, width)
        self.value = nn.Linear(source_width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        return attend(self.query(x), self.key(source), self.value(source), self.heads, mask=mask)


class ResidualOutput(nn.Module):
    """A linear map back to the width, added to the residual and normalised after (BERT's order)."""

    def __init__(self, source_width: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(source_width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention with its output map; self-attention where `source` is the input itself."""

    def __init__(self, sizes: QFormerSizes, source_width: int) -> None:
        super().__init__()
        self.attention = Projections(sizes.width, source_width, sizes.heads)
        self.output = ResidualOutput(sizes.width, sizes.width, sizes.eps)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.output(self.attention(x, source, mask), x)  # type: ignore[no-any-return]


class Widening(nn.Module):
    """The first map of a feed-forward part, with its activation."""

    def __init__(self, sizes: QFormerSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(sizes.width, sizes.mlp_width)
        self.activation = activation(sizes.activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class Layer(nn.Module):
    """Self-attention over all rows; then queries and words each have their own feed-forward part."""

    def __init__(self, sizes: QFormerSizes, vision_width: int) -> None:
        super().__init__()
        self.attention = Attention(sizes, sizes.width)
        self.crossattention = Attention(sizes, vision_width)
        self.intermediate = Widening(sizes)
        self.output = ResidualOutput(sizes.mlp_width, sizes.width, sizes.eps)
        self.intermediate_query = Widening(sizes)
        self.output_query = ResidualOutput(sizes.mlp_width, sizes.width, sizes.eps)

    def forward(self, x: Tensor, picture: Tensor | None, queries: int, mask: Tensor | None) -> Tensor:
        x = self.attention(x, x, mask)
        asking, words = x[:, :queries], x[:, queries:]
        if queries:
            if picture is not None:
                asking = self.crossattention(asking, picture)
            asking = self.output_query(self.intermediate_query(asking), asking)
        if words.shape[1]:
            words = self.output(self.intermediate(words), words)
        return torch.cat([asking, words], dim=1)


class QFormer(nn.Module):
    """The stack of layers, under the checkpoint's name `encoder`."""

    def __init__(self, sizes: QFormerSizes, vision_width: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(sizes, vision_width) for _ in range(sizes.depth))

    def forward(self, x: Tensor, picture: Tensor | None, queries: int, mask: Tensor | None = None) -> Tensor:
        """x (n, queries + words, width), picture (n, patches, vision width) -> the shape of x.

        `mask` is boolean and broadcasts to (n, heads, rows, rows): True where a row may look.
        """
        for layer in self.layer:
            x = layer(x, picture, queries, mask)
        return x
