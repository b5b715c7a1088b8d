"""How far apart two pictures look: mean delta-E in Lab at several scales."""

from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from blipdiff.images import as_rgb, picture_tensor

_SIDES = (64, 32, 16)  # pixels: what moves by a pixel or two counts little, what changes its colour counts at each
_TO_XYZ = torch.tensor(
    [
        [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
        [0.212671, 0.715160, 0.072169],
        [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
    ]
)  # sRGB under D65, divided by its white


def picture_distance(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures in Lab, over three scales: 0 for equal ones, 1 from black to white."""
    first, second = _lab(one), _lab(other)
    found = []
    for side in _SIDES:
        small = [torch.nn.functional.interpolate(lab[None], (side, side), mode="area") for lab in (first, second)]
        found.append((small[0] - small[1]).square().sum(1).sqrt().mean())
    return float(torch.stack(found).mean()) / 100


def neighbour_distances(pictures: list[Image.Image]) -> list[float]:
    """The distance from each picture to the next."""
    return [picture_distance(one, other) for one, other in pairwise(pictures)]


def _lab(picture: Image.Image) -> Tensor:
    """(3, H, W): CIE L*a*b*, lightness from 0 to 100"""
    rgb = picture_tensor(as_rgb(picture))
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("dc,chw->dhw", _TO_XYZ, linear)
    bent = torch.where(xyz > 216 / 24389, xyz.clamp(min=1e-9) ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    return torch.stack([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])
