"""How a U-Net in 8 bits is made."""

from dataclasses import dataclass

from pipelines.parameters import check, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRequest:
    """How a U-Net in 8 bits is made.

    One half of the subjects tells the ranges, the other half measures what it draws.
    """

    rows: int = parameter(
        4, "Rows", "Pictures that the ranges are seen in; half as many measure.", low=1, high=256, step=1
    )
    calls: int = parameter(8, "Calls", "Of the U-Net for each of these pictures.", low=2, high=100, step=1)
    seed: int = parameter(0, "Seed", "Of the first picture's noise.", low=0, high=2**32, step=1)

    def __post_init__(self) -> None:
        check(self)
