"""What callers of the diffusers face hand over, made into the project's own values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from blipdiff.errors import ConfigError, ShapeError
from blipdiff.images import to_pictures
from blipdiff.moment import Moment

Generators: TypeAlias = torch.Generator | list[torch.Generator] | None
StepCallback: TypeAlias = Callable[[Any, int, Tensor, dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class CallbackEdit:
    """A user's callback as an edit of the latents: what it returns goes on."""

    pipeline: Any
    callback: StepCallback

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        answer = self.callback(self.pipeline, moment.index, moment.timestep, {"latents": latents})
        changed = answer.get("latents", latents) if answer else latents
        if changed.shape != latents.shape:
            raise ShapeError(
                f"The callback returned latents of shape {tuple(changed.shape)}, not {tuple(latents.shape)}."
            )
        return changed


def either(name: str, value: Any, other_name: str, other: Any) -> Any:
    """Whichever of two names of one argument was given.

    Raises: ConfigError when both were, with different values.
    """
    if value is not None and other is not None and value != other:
        raise ConfigError(f"{name} and {other_name} are one and were given different values; give one of them.")
    return other if value is None else value


def start_noise(latents: Tensor | None, shape: tuple[int, ...], generator: Generators, device: torch.device) -> Tensor:
    """The latents that were given, or standard normal noise of `shape`, float32.

    Raises: ShapeError for latents of another shape.
    """
    if latents is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)  # type: ignore[no-any-return]
    if tuple(latents.shape) != shape:
        raise ShapeError(f"Latents of shape {tuple(latents.shape)} were given; {shape} was expected.")
    return latents.to(device, torch.float32)


def row_generators(generator: Generators, rows: int) -> list[torch.Generator]:
    """One generator for each row: torch's own where none is given.

    Raises: ConfigError for a list of another length, and for what is no generator, such as a seed.
    """
    if generator is None:
        return [torch.default_generator] * rows
    if isinstance(generator, torch.Generator):
        return [generator] * rows
    if not isinstance(generator, list | tuple) or not all(isinstance(one, torch.Generator) for one in generator):
        raise ConfigError(
            f"The generator is {generator!r}; give a torch.Generator, or a list of them, one for each picture: "
            "torch.Generator().manual_seed(7)."
        )
    if len(generator) != rows:
        raise ConfigError(f"{len(generator)} generators were given for {rows} pictures; give one, or one each.")
    return list(generator)


def as_output(pixels: Tensor, output_type: str) -> Any:
    """Pixels (rows, 3, H, W) in [0, 1] as pil, np (rows, H, W, 3) or pt."""
    if output_type == "pil":
        return to_pictures(pixels)
    return pixels if output_type == "pt" else pixels.cpu().permute(0, 2, 3, 1).numpy()
