"""A model's U-Net in 8 bits: its own runs tell the ranges, and what it then draws is measured on other subjects."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.openvino_engine.cache import convert, place_of
from blipdiff.sampling.openvino_engine.int8 import Inputs, narrow, ranges
from blipdiff.sampling.openvino_engine.library import library
from blipdiff.sampling.openvino_engine.network import DTYPES, CompiledNetwork, Narrow
from blipdiff.sampling.schedulers import ready_scheduler
from blipdiff.stand_ins import StandIn, hold, release
from pipelines.quantize_request import QuantizeRequest
from pipelines.trial_rows import TrialRows, decibels

_SEEN = 32  # rows of calls that tell the ranges; 16 and 128 come to the same pictures
_AMPLE = 1 << 62  # bytes
_SCHEDULER = "unipc"


@dataclass(frozen=True, slots=True)
class Quantized:
    """A U-Net in 8 bits that is kept.

    decibels: the median and the least peak signal-to-noise ratio of its pictures to those of the U-Net as it was
    """

    place: Path
    decibels: tuple[float, float]


def quantize(
    model: BlipDiffusion,
    subjects: Sequence[SubjectPhoto],
    request: QuantizeRequest,
    folder: Path,
    told: Callable[[int, int], None],
) -> Quantized:
    """Makes a model's U-Net in 8 bits, kept in the folder of converted networks, whole or not at all.

    told: is called with how many rows of U-Net calls are done, of how many, and may raise to stop

    Raises: ConfigError for fewer than two subjects, for another device than a processor and for float16,
    MissingDependencyError without OpenVINO, OutputError where the folder cannot be written, and what OpenVINO raises.
    """
    unet = model.unet
    if len(subjects) < 2:
        raise ConfigError("One half of the subjects tells the ranges and the other measures; give at least two.")
    if model.device.type != "cpu" or unet.dtype not in DTYPES:
        raise ConfigError("A U-Net in 8 bits is for processors, made in float32 or bfloat16.")
    library()
    others = max(1, request.rows // 2)
    halves = 1 if model.guidance == 1 else 2
    total = request.calls * halves * (request.rows + 2 * others) + _SEEN
    counted = _Counted(told, total)
    seen = _Seen(counted)
    rows = TrialRows.of(model, subjects[::2], request.rows, seed=request.seed)
    with _standing(unet, seen):
        _drawn(model, rows, request.calls)
    chosen = seen.some(request.seed)

    def change(graph: Any) -> None:
        narrow(graph, ranges(unet, graph, chosen, DTYPES[unet.dtype], lambda _done: counted.add(1)))

    place = place_of(unet, "unet", folder, is_narrow=True)
    convert(unet, "unet", place, change)
    measured = TrialRows.of(model, subjects[1::2], others, seed=request.seed + request.rows)
    with _standing(unet, _Passing(counted)):
        wanted = _drawn(model, measured, request.calls)
    found = _Narrowed(unet, folder, counted)
    with _standing(unet, found):
        drawn = _drawn(model, measured, request.calls)
    return Quantized(place, decibels(drawn, wanted))


class _Counted:
    """Rows of calls, told as they are done."""

    def __init__(self, told: Callable[[int, int], None], total: int) -> None:
        self._told, self._done, self._total = told, 0, total

    def add(self, rows: int) -> None:
        self._done += rows
        self._told(min(self._done, self._total), self._total)


class _Passing:
    """Leaves a network to torch, and counts."""

    def __init__(self, counted: _Counted) -> None:
        self.counted = counted

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:  # noqa: ARG002
        self.counted.add(len(inputs[0]))
        return None


class _Seen(_Passing):
    """What a U-Net is called with, row by row."""

    def __init__(self, counted: _Counted) -> None:
        super().__init__(counted)
        self.rows: list[Inputs] = []

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:
        for row in range(len(inputs[0])):
            self.rows.append([one if one.ndim == 0 else one[row : row + 1].detach().clone() for one in inputs])
        return super().__call__(net, *inputs)

    def some(self, seed: int) -> list[Inputs]:
        """Some of all calls, in their order."""
        places = np.random.default_rng(seed).permutation(len(self.rows))[:_SEEN]
        return [self.rows[place] for place in sorted(places)]


class _Narrowed:
    """The U-Net in 8 bits that was just made. Raises: ConfigError where it does not compute."""

    def __init__(self, unet: Any, folder: Path, counted: _Counted) -> None:
        self._said: list[str] = []
        kept = Narrow.kept(unet, folder)
        self._network = CompiledNetwork("unet", folder, lambda: _AMPLE, self._said.append, narrow=kept)
        self._counted = counted

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:
        found = self._network(net, *inputs)
        if found is None or self._network.narrow is None:
            raise ConfigError(" ".join(["The U-Net in 8 bits does not compute.", *self._said]))
        self._counted.add(len(inputs[0]))
        return found


@contextmanager
def _standing(net: nn.Module, stand_in: StandIn) -> Iterator[None]:
    hold(net, stand_in)
    try:
        yield
    finally:
        release(net)


@torch.no_grad()
def _drawn(model: BlipDiffusion, rows: TrialRows, calls: int) -> Tensor:
    """(rows, 3, h, w)"""
    scheduler = ready_scheduler(model, _SCHEDULER, calls, model.guidance)
    latents = rows.noise
    for step in denoise(rows.at(model.guidance, may_stand_in=True), scheduler, latents):
        latents = step.latents
    return decode_latents(model.vae, latents).float()
