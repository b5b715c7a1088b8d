"""Held latents: a run that draws a part of a picture anew (cf. Avrahami et al. 2022, arXiv:2206.02779)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from blipdiff.errors import ShapeError
from blipdiff.moment import Moment


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutside:
    """A latent edit that puts back, after each step, what a picture's latents are there outside of a mask.

    way: the picture's latents before each U-Net call and after the last, as `noised` gives them; mask: (h, w) in
    [0, 1], 1 where the run is free

    Raises: ShapeError for a run of another number of steps.
    """

    way: Sequence[Tensor]
    mask: Tensor

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w) -> the same with the picture's own outside"""
        if moment.count != len(self.way) - 1:
            raise ShapeError(f"Latents of {len(self.way) - 1} steps were given to a run of {moment.count}.")
        own = self.way[moment.index + 1].to(latents)
        return own + (latents - own) * self.mask.to(latents)
