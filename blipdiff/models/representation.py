"""The multimodal representation model: the subject encoder's trunk and Q-Former with the heads of its first training.

BLIP-2 (Li et al. 2023, arXiv:2301.12597, sec. 3.1): one Q-Former for image-text contrast (ITC), matching (ITM)
and grounded text generation (ITG), by which of its rows may look at which. The heads stay usable after the
training: see `blipdiff.models.describer`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.errors import ShapeError
from blipdiff.models.qformer import Embeddings, QFormer
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.models.vit import VisionTrunk


class WordHead(nn.Module):
    """Rows -> scores of the next word, through the transposed word table (BERT's head)."""

    def __init__(self, sizes: QFormerSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(sizes.width, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.bias = nn.Parameter(torch.zeros(sizes.vocabulary))

    def forward(self, rows: Tensor, words: Tensor) -> Tensor:
        """rows (n, t, width), words (vocabulary, width) -> (n, t, vocabulary)."""
        return functional.linear(self.LayerNorm(functional.gelu(self.dense(rows))), words, self.bias)


class Representation(nn.Module):
    """Pictures and texts -> comparable features, matches and captions; parameter names as in published checkpoints."""

    def __init__(self, sizes: SubjectEncoderSizes, shared_width: int = 256) -> None:
        super().__init__()
        self.sizes = sizes
        self.shared_width = shared_width
        width = sizes.qformer.width
        self.query_tokens = nn.Parameter(torch.randn(1, sizes.qformer.queries, width) * 0.02)
        self.visual_encoder = VisionTrunk(sizes.vision)
        self.embeddings = Embeddings(sizes.qformer)
        self.encoder = QFormer(sizes.qformer, sizes.vision.width)
        self.vision_proj = nn.Linear(width, shared_width)
        self.text_proj = nn.Linear(width, shared_width)
        self.itm_head = nn.Linear(width, 2)
        self.cls = WordHead(sizes.qformer)
        self.temp = nn.Parameter(torch.tensor(0.07))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.query_tokens.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.query_tokens.device

    def itc(self, features: Tensor, texts: Tensor) -> Tensor:
        """Image-text contrast, as cosines: (n, 16, shared), (m, shared) -> (n, m), by the nearest query."""
        return torch.einsum("nqd,md->nqm", features, texts).amax(dim=1)

    @staticmethod
    def same_subject(features: Tensor, others: Tensor) -> Tensor:
        """How alike the subjects are, the queries' mean cosine: (n, 16, shared), (m, 16, shared) -> (n, m)."""
        return torch.einsum("nqd,mqd->nm", features, others) / features.shape[1]

    def picture_features(self, patches: Tensor) -> Tensor:
        """patches (n, patches, vision width), from the trunk -> (n, 16, shared), of length 1; no text is looked at."""
        rows = self.embeddings(None, self._queries(len(patches)))
        return self.shared(self.encoder(rows, patches, self.sizes.qformer.queries))

    def shared(self, queries: Tensor) -> Tensor:
        """Query rows -> their features in the space that pictures and texts share."""
        return functional.normalize(self.vision_proj(queries).float(), dim=-1)

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids and mask (n, words), beginning with [CLS] -> (n, shared), of length 1; no picture is looked at."""
        rows = self.encoder(self.embeddings(ids, None), None, 0, mask.bool()[:, None, None, :])
        return functional.normalize(self.text_proj(rows[:, 0]).float(), dim=-1)

    def itm(self, patches: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Image-text matching -> (n, 2): scores of 'the text is of another picture' and 'of this one'.

        All rows look at all.
        """
        seen = torch.cat([mask.new_ones(len(ids), self.sizes.qformer.queries), mask], dim=1).bool()
        return self.itm_head(self._both(patches, ids, seen[:, None, None, :])[0]).mean(dim=1)  # type: ignore[no-any-return]

    def itg(self, patches: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Text generation: query rows (n, 16, width), and scores of the word after each (n, words, vocabulary).

        Queries see queries only, words the queries and the words before them: so the query rows are those of
        `picture_features`, and one pass serves contrast and captions.
        """
        queries, words = self._both(patches, ids, causal_mask(self.sizes.qformer.queries, mask))
        return queries, self.cls(words, self.embeddings.word_embeddings.weight)

    def mlm(self, patches: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Masked language modelling: scores of the word at each place, hidden or not (n, words, vocabulary).

        All rows look at all, as for matching: the words see the picture through the queries (ALBEF, arXiv:2107.07651).
        """
        seen = torch.cat([mask.new_ones(len(ids), self.sizes.qformer.queries), mask], dim=1).bool()
        words = self._both(patches, ids, seen[:, None, None, :])[1]
        return self.cls(words, self.embeddings.word_embeddings.weight)  # type: ignore[no-any-return]

    def take(self, encoder: SubjectEncoder) -> None:
        """Copy trunk, Q-Former and queries of a subject encoder; words are copied where the vocabularies are as large.

        Raises: ShapeError when they are of other sizes.
        """
        _copy(dict(encoder.state_dict()), self)

    def give(self, encoder: SubjectEncoder) -> None:
        """The other way: what was learned here into a subject encoder, whose projection stays as it is.

        Raises: ShapeError when they are of other sizes.
        """
        _copy(dict(self.state_dict()), encoder)

    def _queries(self, count: int) -> Tensor:
        return self.query_tokens.expand(count, -1, -1)

    def _both(self, patches: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        count = self.sizes.qformer.queries
        rows = self.encoder(self.embeddings(ids, self._queries(len(ids))), patches, count, mask)
        return rows[:, :count], rows[:, count:]


def causal_mask(queries: int, mask: Tensor) -> Tensor:
    """The multimodal-causal mask of BLIP-2's figure 2: (n, 1, queries + words, queries + words), True where seen.

    mask (n, words): 1 for a word, 0 for padding
    """
    words = mask.shape[1]
    seen = torch.zeros(queries + words, queries + words, dtype=torch.bool, device=mask.device)
    seen[:, :queries] = True
    seen[:queries, queries:] = False
    seen[queries:, queries:] = torch.ones(words, words, dtype=torch.bool, device=mask.device).tril()
    there = torch.cat([mask.new_ones(len(mask), queries), mask], dim=1).bool()
    return seen & there[:, None, None, :]


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: nn.Module) -> None:
    """Copies what both have; the word table may be of another vocabulary, and keeps its own words then."""
    for name, value in target.state_dict().items():
        if name not in source or name.startswith("proj_layer."):
            continue
        if source[name].shape == value.shape:
            value.copy_(source[name])
        elif name == "embeddings.position_embeddings.weight":
            shared = min(len(value), len(source[name]))
            value[:shared].copy_(source[name][:shared])
        elif name != "embeddings.word_embeddings.weight":
            raise ShapeError(f"{name} is {tuple(source[name].shape)} here and {tuple(value.shape)} there.")
