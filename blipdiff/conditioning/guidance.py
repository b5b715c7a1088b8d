"""What the U-Net is told: text conditioning of each row, and how strongly it is followed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from blipdiff.conditioning.layout import TokenLayout
from blipdiff.conditioning.subject_weights import Acting
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Window


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """Text conditioning with what each of its slots holds.

    embeddings: (rows, slots, width); layouts: one for each row; weights: of each row's subject, where one was tuned

    Raises: ShapeError when they do not belong together.
    """

    embeddings: Tensor
    layouts: tuple[TokenLayout, ...]
    weights: tuple[tuple[Acting, ...], ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.embeddings.shape)
        if len(shape) != 3:
            raise ShapeError(f"Text conditioning of shape {shape} was given; it is (rows, slots, width).")
        if len(self.layouts) != shape[0] or any(len(layout) != shape[1] for layout in self.layouts):
            lengths = [len(layout) for layout in self.layouts]
            raise ShapeError(f"Text conditioning of shape {shape} was given with layouts of {lengths} slots.")
        if self.weights and len(self.weights) != shape[0]:
            raise ShapeError(f"Text conditioning of {shape[0]} rows was given with the weights of {len(self.weights)}.")

    @property
    def rows(self) -> int:
        """Pictures that this conditions."""
        return len(self.layouts)

    @property
    def row_weights(self) -> tuple[tuple[Acting, ...], ...]:
        """The weights of each row, none where its subject was not tuned."""
        return self.weights or ((),) * self.rows

    def select(self, rows: Sequence[int]) -> "Conditioning":
        """The given rows, in the given order; a row may be taken more than once."""
        taken = list(rows)
        weights = tuple(self.weights[row] for row in taken) if self.weights else ()
        return Conditioning(self.embeddings[taken], tuple(self.layouts[row] for row in taken), weights)

    def repeat(self, times: int) -> "Conditioning":
        """Each row `times` times: rows 0, 0, 1, 1 for two."""
        return self.select([row for row in range(self.rows) for _ in range(times)])


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """Classifier-free guidance with a scale for each row (Ho, Salimans 2022, arXiv:2207.12598, eq. 6).

    A row of scale 1, and every row outside the window (Kynkäänniemi et al. 2024, arXiv:2404.07724), follows its
    positive conditioning alone; `negative` may be None when all rows are such.

    scale: (rows,)

    Raises: ShapeError when rows, slots or widths differ, ConfigError for a scale that is not finite or that needs
    a negative conditioning where there is none.
    """

    positive: Conditioning
    negative: Conditioning | None
    scale: Tensor
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        rows = self.positive.rows
        if tuple(self.scale.shape) != (rows,):
            raise ShapeError(f"Guidance scales of shape {tuple(self.scale.shape)} were given for {rows} rows.")
        if not bool(torch.isfinite(self.scale).all()):
            raise ConfigError(f"The guidance scales {self.scale.tolist()} are not all finite numbers.")
        if self.negative is None:
            if self._guided:
                raise ConfigError(
                    f"The guidance scales {self.scale.tolist()} need a negative conditioning; without one give 1."
                )
        elif self.negative.embeddings.shape != self.positive.embeddings.shape:
            raise ShapeError(
                f"The negative conditioning is {tuple(self.negative.embeddings.shape)}, "
                f"the positive {tuple(self.positive.embeddings.shape)}; they must be of one shape."
            )

    @classmethod
    def even(
        cls, positive: Conditioning, negative: Conditioning | None, scale: float, window: Window | None = None
    ) -> "Guidance":
        """The same scale for every row."""
        return cls(positive, negative, torch.full((positive.rows,), float(scale)), window or Window())

    @property
    def rows(self) -> int:
        """Pictures that this guides."""
        return self.positive.rows

    @property
    def _guided(self) -> list[int]:
        return [row for row, scale in enumerate(self.scale.tolist()) if scale != 1.0]

    def guided_rows(self, moment: Moment) -> list[int]:
        """The rows that need their unconditional prediction at this moment."""
        return self._guided if self.window.holds(moment) else []

    def select(self, rows: Sequence[int]) -> "Guidance":
        """The given rows, in the given order; a row may be taken more than once."""
        negative = None if self.negative is None else self.negative.select(rows)
        return Guidance(self.positive.select(rows), negative, self.scale[list(rows)], self.window)

    def repeat(self, times: int) -> "Guidance":
        """Each row `times` times: rows 0, 0, 1, 1 for two."""
        return self.select([row for row in range(self.rows) for _ in range(times)])


def concat(parts: Sequence[Conditioning]) -> Conditioning:
    """The rows of all parts, one after the other.

    Raises: ShapeError for no part, and for parts of other slots or width.
    """
    if not parts or len({part.embeddings.shape[1:] for part in parts}) > 1:
        shapes = [tuple(part.embeddings.shape) for part in parts]
        raise ShapeError(f"Text conditionings of shapes {shapes} cannot be joined; slots and width must be equal.")
    layouts = tuple(layout for part in parts for layout in part.layouts)
    weights = tuple(row for part in parts for row in part.row_weights) if any(part.weights for part in parts) else ()
    return Conditioning(torch.cat([part.embeddings for part in parts]), layouts, weights)
