"""A picture beside the words, as an IP-Adapter reads it (Ye et al. 2023, arXiv:2308.06721)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blipdiff.errors import ConfigError, ShapeError

_ON_UNET = "blipdiff_image_prompt"  # an attribute of the U-Net that an adapter was put on
READS_PICTURES = "ip_image_proj"  # what a U-Net's configuration says with an IP-Adapter on it


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrompt:
    """What an image encoder saw, for each IP-Adapter: (1 or rows, pictures, ...), and the same of no picture."""

    positive: tuple[Tensor, ...]
    negative: tuple[Tensor, ...]

    def embeds(self, pictures: Sequence[int], unconditional: int) -> list[Tensor]:
        """For each adapter what the rows of a U-Net call read, the unconditional ones first.

        pictures: the number of the picture that each row belongs to

        Raises: ShapeError for fewer rows than there are pictures.
        """
        found = []
        for positive, negative in zip(self.positive, self.negative, strict=True):
            halves = (negative, pictures[:unconditional]), (positive, pictures[unconditional:])
            found.append(torch.cat([_of_rows(given, rows) for given, rows in halves if rows]))
        return found


def _of_rows(given: Tensor, rows: Sequence[int]) -> Tensor:
    if given.shape[0] == 1:
        return given.expand(len(rows), *given.shape[1:])
    if max(rows) >= given.shape[0]:
        raise ShapeError(f"The IP-Adapter has {given.shape[0]} pictures for {max(rows) + 1} rows; give 1, or one each.")
    return given[torch.as_tensor(list(rows), device=given.device)]


def keep_on(unet: Any, prompt: ImagePrompt | None) -> None:
    """What a U-Net with an IP-Adapter reads where a run says nothing else."""
    setattr(unet, _ON_UNET, prompt)


def read_by(unet: Any, asked: ImagePrompt | None) -> ImagePrompt | None:
    """What a run's U-Net reads beside its words; None for one without an IP-Adapter.

    Raises: ConfigError for an adapter without a picture, and for a picture without one.
    """
    prompt: ImagePrompt | None = asked or getattr(unet, _ON_UNET, None)
    reads = getattr(unet.config, "encoder_hid_dim_type", None) == READS_PICTURES
    if reads and prompt is None:
        raise ConfigError("The U-Net has an IP-Adapter, and no picture for it was given; give one, or unload it.")
    if not reads and asked is not None:
        raise ConfigError("A picture for an IP-Adapter was given, and none is loaded; call load_ip_adapter first.")
    return prompt if reads else None
