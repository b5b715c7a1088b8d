"""Pictures of attention: heat maps of words and of the subject, and masks cut from them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from blipdiff.errors import ConfigError, PromptError


def heatmap(attention: Tensor, slots: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Where a word or the subject is looked at, smooth, its highest value 1 (Tang et al. 2022, arXiv:2210.04885).

    attention: (height, width, slots) of one row; size: (H, W) -> (H, W) in [0, 1]

    Raises: PromptError for no slot.
    """
    return _normalised(resized(_summed(attention, slots), size, smooth=True))


def soft_mask(
    attention: Tensor, slots: Sequence[int], size: tuple[int, int], *, smooth: bool = False, raised: bool = False
) -> Tensor:
    """The map that a mask is cut from, as prompt-to-prompt's local blend has it (Hertz et al. 2022, sec. 3.2).

    The slots' maps summed, their peaks widened by a 3 x 3 maximum, enlarged to the nearest, the highest value 1.

    A `raised` map is the height above the median position, and not widened: where a model looks at a word from
    everywhere a little, all of the plain map is above a threshold. It leaves thresholds their meaning.

    attention: (height, width, slots) of one row; size: (H, W) -> (H, W) in [0, 1]; smooth: enlarged bilinearly

    Raises: PromptError for no slot.
    """
    summed = _summed(attention, slots)
    if raised:
        return _normalised(resized((summed - summed.median()).clamp(min=0), size, smooth=smooth))
    widened = torch.nn.functional.max_pool2d(summed, kernel_size=3, stride=1, padding=1)
    return _normalised(resized(widened, size, smooth=smooth))


def mask(
    attention: Tensor,
    slots: Sequence[int],
    size: tuple[int, int],
    threshold: float = 0.3,
    softness: float = 0.0,
    *,
    raised: bool = False,
) -> Tensor:
    """Where a word is: 1 above the threshold, 0 below; `softness` is the width of the ramp between them.

    attention: (height, width, slots) of one row; size: (H, W) -> (H, W) in [0, 1]; threshold, softness: 0 to 1

    Raises: PromptError for no slot, ConfigError for a threshold or softness outside its range.
    """
    if not (0.0 <= threshold <= 1.0 and 0.0 <= softness <= 1.0):
        raise ConfigError(f"A threshold of {threshold} and a softness of {softness} were given; both go from 0 to 1.")
    soft = soft_mask(attention, slots, size, smooth=softness > 0, raised=raised)
    if softness == 0:
        return (soft > threshold).to(soft)
    return ((soft - threshold) / softness + 0.5).clamp(0, 1)


def resized(maps: Tensor, size: tuple[int, int], *, smooth: bool) -> Tensor:
    """maps: (rows, channels, height, width) -> (rows, channels, *size), bilinear or from the nearest position."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    mode = {"mode": "bilinear", "align_corners": False} if smooth else {"mode": "nearest"}
    return torch.nn.functional.interpolate(maps, size=size, **mode)  # type: ignore[arg-type]


def _summed(attention: Tensor, slots: Sequence[int]) -> Tensor:
    if not slots:
        raise PromptError("A map was asked for no word at all; name a word of the prompt, or give a subject.")
    return attention[..., list(slots)].float().sum(-1)[None, None]  # (1, 1, height, width)


def _normalised(maps: Tensor) -> Tensor:
    highest = maps.max()
    return (maps / highest if highest > 0 else maps)[0, 0]
