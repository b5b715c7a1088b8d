"""How much of a subject's inner structure a picture shows: stripes, a keyhole, a print; neither colour nor outline.

Colours and outline alone trace most pictures to their subject, and a metric of both is nearly always right. This one
looks at what those leave: grey gradients inside the silhouette, at the best of a few sizes and of the places around the
middle, which is where a model draws a subject that nobody places.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blipdiff.data.records import Pixels
from blipdiff.evaluation.statistics import Figure, mean
from blipdiff.evaluation.views import Floats, Remembered, SubjectView, lab

_SIDE = 64  # pixels of what is compared
_SCALES = tuple(0.66 * 1.06**step for step in range(7))  # of the subject's frame against the picture
_REACH = 6  # pixels that a subject may stand from the middle
_RIM = 1  # pixels along the outline that are none of the inside
_FAINT = 2.0  # in Lab's lightness a pixel, root mean square: flatter places show no structure
_LEAST = 1e-6


class InnerStructureMetric:
    """The correlation of lightness gradients inside the silhouette, at the best place and size, mirrored or not."""

    name = "structure alone"

    def __init__(self) -> None:
        self._templates = Remembered(_templates)

    @torch.inference_mode()
    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), from -1 to 1; about 0.26 by chance."""
        small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        slopes = _slopes(lab(small)[..., 0])  # (1, 2, side, side)
        strength = slopes.square().sum(1, keepdim=True)
        seen = torch.fft.rfft2(torch.cat([slopes, strength], dim=1), s=(2 * _SIDE,) * 2)
        found = []
        for subject in subjects:
            templates, windows, sizes = self._templates(subject)
            alike = torch.fft.irfft2((seen[:, :2] * templates).sum(1))  # (templates, 2 side, 2 side), places in a ring
            energy = torch.fft.irfft2(seen[:, 2] * windows).clamp(min=0)
            floor = _FAINT**2 * sizes[:, None, None]
            found.append(float(_around_middle(alike / (energy + floor).sqrt()).max()))
        return np.array(found, np.float32)


def structure_share(own: Sequence[float], wrong: Sequence[float], true: Sequence[float]) -> Figure:
    """How much of the structure is there, as a share between a wrong subject's 0 and a true composite's 1.

    own, true: what the metric says of the right subject in pictures of it, and in true composites seen through the
    autoencoder; wrong: what it says of other subjects in pictures of the right one. The share is that of the means;
    the interval draws cases again.
    """
    gained = np.asarray(own, np.float64) - np.asarray(wrong, np.float64)
    whole = float(np.mean(np.asarray(true, np.float64) - np.asarray(wrong, np.float64)))
    return mean(gained / max(whole, _LEAST))


def _templates(view: SubjectView) -> tuple[Tensor, Tensor, Tensor]:
    """At every scale, as drawn and mirrored: spectra of slopes (n, 2, ...), of windows (n, ...), their sizes (n)."""
    made = [_template(view.placed(scale, mirrored=mirrored)) for scale in _SCALES for mirrored in (False, True)]
    slopes, windows = (torch.cat(part) for part in zip(*made, strict=True))
    spectra = torch.fft.rfft2(torch.cat([slopes, windows], dim=1), s=(2 * _SIDE,) * 2).conj()
    return spectra[:, :2], spectra[:, 2], windows.sum((1, 2, 3)).clamp(min=1)


def _template(placed: Pixels) -> tuple[Tensor, Tensor]:
    alpha = placed[..., 3:].astype(np.float32) / 255
    plain = np.clip(placed[..., :3] / np.maximum(alpha, 0.02), 0, 255).astype(np.uint8)
    solid = (alpha[..., 0] > 0.9).astype(np.uint8)
    filled = np.where(solid[..., None] > 0, plain, _mean_colour(plain, solid)).astype(np.uint8)  # no slope at the rim
    small = cv2.resize(filled, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    covered = cv2.resize(solid.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    around = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    inside = cv2.erode((covered > 0.99).astype(np.uint8), around, borderValue=0).astype(np.float32)
    window = torch.from_numpy(inside)[None, None]
    slopes = _slopes(lab(small)[..., 0]) * window
    floor = _FAINT**2 * window.sum()
    return slopes / (slopes.square().sum() + floor).sqrt().clamp(min=_LEAST), window


def _around_middle(places: Tensor) -> Tensor:
    """What stands at most `_REACH` from the middle, of all places in a ring."""
    near = torch.cat([places[..., : _REACH + 1, :], places[..., -_REACH:, :]], dim=-2)
    return torch.cat([near[..., : _REACH + 1], near[..., -_REACH:]], dim=-1)


def _mean_colour(plain: Pixels, solid: Pixels) -> NDArray[np.float32]:
    inside = plain[solid > 0]
    return np.asarray(inside.mean(0) if len(inside) else np.zeros(3), np.float32)


def _slopes(lightness: NDArray[np.float32]) -> Tensor:
    """How lightness changes across and down: (1, 2, side, side)"""
    soft = cv2.GaussianBlur(np.ascontiguousarray(lightness), (0, 0), 0.9)
    both = [cv2.Sobel(soft, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1))]
    return torch.from_numpy(np.stack(both))[None]
