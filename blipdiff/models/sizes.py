"""Sizes of the three models that are the method; the defaults are the published full size."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VisionSizes:
    """The vision trunk: CLIP ViT-L/14 without its last block."""

    width: int = 1024
    depth: int = 23
    heads: int = 16
    mlp_width: int = 4096
    patch: int = 14
    picture: int = 224
    eps: float = 1e-5
    activation: str = "quick_gelu"

    @property
    def patches(self) -> int:
        """Rows of the trunk's output: one class row and one row for each patch."""
        return (self.picture // self.patch) ** 2 + 1


@dataclass(frozen=True, slots=True)
class QFormerSizes:
    """The multimodal Q-Former: BERT-base with cross-attention in every layer."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    vocabulary: int = 30523
    positions: int = 512
    queries: int = 16
    eps: float = 1e-12
    activation: str = "gelu"


@dataclass(frozen=True, slots=True)
class SubjectEncoderSizes:
    """Trunk, Q-Former and projection together: the `qformer` component of a checkpoint."""

    vision: VisionSizes = field(default_factory=VisionSizes)
    qformer: QFormerSizes = field(default_factory=QFormerSizes)


@dataclass(frozen=True, slots=True)
class TextSizes:
    """The context text encoder: the text half of CLIP ViT-L/14."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    vocabulary: int = 49408
    positions: int = 77
    eps: float = 1e-5
    activation: str = "quick_gelu"
