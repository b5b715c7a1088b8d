"""A metric of subjects by colour and shape, made by hand, that searches over place and size."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from blipdiff.data.composites import composite
from blipdiff.data.records import Pixels
from blipdiff.evaluation.views import FRAME, Floats, Remembered, SubjectView, lab

_SCALES = (0.5, 0.62, 0.75, 0.9)  # of the subject's frame against the picture
_PLACES = 32  # of the maps along one side
_COLOUR_PAIRS = 10  # random Fourier features of the colours: a cosine and a sine each
_COLOUR_WIDTH = 18.0  # in Lab: standard deviation of the kernel between two colours
_LIGHTNESS = 0.6  # weight of a difference in lightness: shading and shadow change it
_ORIENTATIONS = 8
_FAINT_EDGE = 4.0  # Lab steps a pixel: edges far above all count the same
_RING_WEIGHT = 0.5
_EDGE_WEIGHT = 1.6
_EDGELESS = 0.7  # energy of edges below which a place counts as empty


class ColourShapeMetric:
    """Colours inside the silhouette against those around it, and the directions of edges, at the best place and size.

    Colours are compared by a Gaussian kernel in Lab through random Fourier features (Rahimi, Recht 2007), so that the
    match with a whole silhouette is one convolution; a ring of the subject's colours *around* the silhouette counts
    against the match. Edges are oriented gradients (Dalal, Triggs 2005) by normalised correlation.
    """

    name = "colour and shape"

    def __init__(self) -> None:
        self._templates = Remembered(_templates)

    @torch.inference_mode()
    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), from about -1 to 2."""
        small = cv2.resize(picture, (FRAME, FRAME), interpolation=cv2.INTER_AREA)
        colours = _channels_first(_pooled(_colour_features(small)))
        edges = _channels_first(_pooled(_edge_features(small)))
        parts = [self._templates(subject) for subject in subjects]
        templates, windows = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        reach = templates.shape[-1] // 2
        split = colours.shape[1]
        alike = F.conv2d(colours, templates[:, :split], padding=reach)
        drawn = F.conv2d(edges, templates[:, split:], padding=reach)
        energy = F.conv2d(edges.square().sum(1, keepdim=True), windows, padding=reach)
        match = alike + _EDGE_WEIGHT * drawn / (energy.clamp(min=0).sqrt() + _EDGELESS)
        return np.asarray(match.reshape(len(subjects), -1).amax(1))


def _templates(view: SubjectView) -> tuple[Tensor, Tensor]:
    """At every scale, as drawn and mirrored: features (templates, channels, k, k) and windows (templates, 1, k, k)."""
    made = [_template(view.placed(scale, mirrored=mirrored)) for scale in _SCALES for mirrored in (False, True)]
    features, windows = zip(*made, strict=True)
    return torch.cat(features), torch.cat(windows)


def _template(placed: Pixels) -> tuple[Tensor, Tensor]:
    alpha = _floats(placed[..., 3]) / np.float32(255)
    plain = np.clip(placed[..., :3] / np.maximum(alpha, 0.02)[..., None], 0, 255).astype(np.uint8)
    inside = _pooled(_floats(_colour_features(plain) * alpha[..., None]))
    covered = _pooled(alpha[..., None])[..., 0]
    spread, reached = _blurred(inside), cv2.blur(covered, (5, 5))
    ring = ((covered < 0.1) & (reached > 0.02))[..., None]
    around = spread / np.maximum(reached, 0.02)[..., None] * ring
    colours = inside / covered.sum() - _RING_WEIGHT * around / max(float(ring.sum()), 1.0)
    rim = cv2.dilate(alpha, np.ones((5, 5), np.uint8))[..., None]
    edges = _pooled(_floats(_edge_features(_on_grey(placed)) * rim))
    edges = _floats(edges / max(float(np.linalg.norm(edges)), 1e-6))
    window = cv2.dilate((covered > 0.1).astype(np.float32), np.ones((3, 3), np.uint8))
    features = np.pad(np.dstack([colours, edges]), ((0, 1), (0, 1), (0, 0)))  # an odd side has a middle
    return _channels_first(features), _channels_first(np.pad(window, (0, 1))[..., None])


def _on_grey(placed: Pixels) -> Pixels:
    return composite(placed, np.full((FRAME, FRAME, 3), 128, np.uint8))


def _colour_features(picture: Pixels) -> Floats:
    """(H, W, 20), whose dot products are the kernel between two colours."""
    colours = lab(picture) * np.array([_LIGHTNESS, 1, 1], np.float32)
    directions = np.random.default_rng(0).standard_normal((3, _COLOUR_PAIRS)).astype(np.float32)
    turns = colours @ (directions / _COLOUR_WIDTH)
    return _floats(np.concatenate([np.cos(turns), np.sin(turns)], -1) / np.sqrt(_COLOUR_PAIRS))


def _edge_features(picture: Pixels) -> Floats:
    """(H, W, 8): strength of the steepest channel's edge, shared between the two nearest directions of eight."""
    colours = lab(picture) * np.array([_LIGHTNESS, 1, 1], np.float32)
    across, down = (cv2.Sobel(colours, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    steepest = (across**2 + down**2).argmax(2)[..., None]
    across, down = (np.take_along_axis(side, steepest, 2)[..., 0] for side in (across, down))
    size = np.hypot(across, down)
    turn = (np.arctan2(down, across) % np.pi) / np.pi * _ORIENTATIONS
    distance = np.abs((turn[..., None] - np.arange(_ORIENTATIONS) + 4) % _ORIENTATIONS - 4)
    strength = size / (size + _FAINT_EDGE)
    return _floats(np.clip(1 - distance, 0, 1) * strength[..., None])


def _pooled(features: Floats) -> Floats:
    """Means of square cells: (32, 32, channels)."""
    cell = features.shape[0] // _PLACES
    return _floats(features.reshape(_PLACES, cell, _PLACES, cell, -1).mean((1, 3)))


def _blurred(features: Floats) -> Floats:
    channels = [cv2.blur(np.ascontiguousarray(channel), (5, 5)) for channel in np.moveaxis(features, 2, 0)]
    return _floats(np.dstack(channels))


def _floats(values: NDArray[Any]) -> Floats:
    return np.asarray(values, np.float32)


def _channels_first(features: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(features)).permute(2, 0, 1)[None].float()
