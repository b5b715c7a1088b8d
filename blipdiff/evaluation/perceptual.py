"""A metric of subjects that looks through an ImageNet network."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from blipdiff.data.composites import composite
from blipdiff.data.drawn.scenes import SCENES, paint_scene
from blipdiff.data.records import Pixels
from blipdiff.evaluation.imagenet import ImageNetTrunk
from blipdiff.evaluation.views import FRAME, Floats, Remembered, SubjectView

_SIDE = 192  # pixels that the network sees: 12 x 12 places of its tenth block
_BLOCK = 10  # counted from 0: 112 channels, one place for 16 x 16 pixels
_SCALES = (0.55, 0.7, 0.85, 1.0)  # of the subject's frame against the picture
_GREYS = (0, 128, 255)  # grounds whose mean features stand for the subject without a ground
_LEAST_COVER = 0.3  # of a place by the subject
_KEPT = 2048  # subjects, at half a megabyte each: all unseen ones of mini's data, each seen 24 times by the network


class PerceptualMetric:
    """The subject's features, found again at the best place and size among the picture's.

    Features from the middle of the network, standardised by channel over drawn scenes, are compared by their cosines
    at every place of the silhouette, as perceptual distances do (Zhang et al. 2018, arXiv:1801.03924).

    Raises: MissingDependencyError when the network's packages are not installed.
    """

    name = "perceptual"

    def __init__(self) -> None:
        self._trunk = ImageNetTrunk(_SIDE)
        scenes = [paint_scene(scene, np.random.default_rng(place), FRAME)[0] for place, scene in enumerate(SCENES)]
        drawn = self._trunk.features(scenes, [_BLOCK])[_BLOCK]
        self._mean, self._spread = drawn.mean((0, 2, 3), keepdim=True), drawn.std((0, 2, 3), keepdim=True) + 1e-3
        self._templates = Remembered(self._subject_templates, _KEPT)

    @torch.inference_mode()
    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), mean cosines from about 0 to 1."""
        templates = torch.cat([self._templates(subject) for subject in subjects])
        features = F.normalize(self._features([picture]), dim=1)
        cosines = F.conv2d(features, templates, padding=templates.shape[-1] // 2)
        return np.asarray(cosines.reshape(len(subjects), -1).amax(1))

    def _features(self, pictures: Sequence[Pixels]) -> Tensor:
        """(pictures, channels, h, w), standardised."""
        return (self._trunk.features(pictures, [_BLOCK])[_BLOCK] - self._mean) / self._spread

    @torch.inference_mode()
    def _subject_templates(self, view: SubjectView) -> Tensor:
        """The subject at every scale, as drawn and mirrored: (templates, channels, k, k)."""
        return torch.cat(
            [self._template(view.placed(scale, mirrored=mirrored)) for scale in _SCALES for mirrored in (False, True)]
        )

    def _template(self, placed: Pixels) -> Tensor:
        """Cosines with it, summed over its places, are their mean over the silhouette: (1, channels, k, k), k odd."""
        grounds = [composite(placed, np.full((FRAME, FRAME, 3), grey, np.uint8)) for grey in _GREYS]
        features = F.normalize(self._features(grounds).mean(0, keepdim=True), dim=1)
        alpha = torch.from_numpy(placed[..., 3].copy())[None, None].float() / 255
        cover = F.interpolate(alpha, size=features.shape[-2:], mode="area")
        kept = cover * (cover > min(_LEAST_COVER, 0.9 * float(cover.max())))
        template = features * kept / kept.sum()
        odd = 1 - template.shape[-1] % 2
        return F.pad(template, (0, odd, 0, odd))
