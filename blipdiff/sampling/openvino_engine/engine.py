"""Which engine computes a model's networks, how pictures name it, and what there is to say of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import ControlNetModel
from torch import nn

from blipdiff.devices import Placement
from blipdiff.diffusers_types import VAE, ControlNet, UNet
from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.ranges import ENGINES, INT8, TORCH
from blipdiff.sampling.openvino_engine.cache import default_folder
from blipdiff.sampling.openvino_engine.library import NAME, installed, library
from blipdiff.sampling.openvino_engine.network import DTYPES, CompiledNetwork, Narrow, room
from blipdiff.sampling.openvino_engine.traced import Kind
from blipdiff.stand_ins import hold, release

FULL_SIZE = 200_000_000  # numbers in a U-Net from which on a minute of converting is worth it; Stable Diffusion's: 860

_AMPLE = 1 << 62  # bytes, where nobody says what is free


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of memory, asked for when they are needed: what is free, and what a row takes beside all weights."""

    free: Callable[[], int] = lambda: _AMPLE
    row: Callable[[], int] = lambda: 0

    def lacks(self, unet: UNet) -> str | None:
        """Why OpenVINO had better not compute, in one sentence; None where memory suffices."""
        needed, free = room(unet) + self.row(), self.free()
        if needed <= free:
            return None
        return f"OpenVINO takes {needed / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free; torch computes."


class Engine:
    """What computes a model's networks: torch, or OpenVINO in runs that only need what comes out of them.

    folder: where converted networks are kept, `default_folder` where none is named; free: bytes of memory that are
    free; why: what keeps OpenVINO from computing, where it would by itself; is_narrow: whether the U-Net is computed in
    8 bits where one is kept (`blipdiff quantize`)
    """

    def __init__(
        self,
        uses_openvino: bool = False,
        folder: Path | None = None,
        free: Callable[[], int] = lambda: _AMPLE,
        why: str | None = None,
        is_narrow: bool = False,
    ) -> None:
        self._uses_openvino = uses_openvino
        self._folder, self._free = folder, free
        self._networks: list[CompiledNetwork] = []
        self._said: list[str] = []
        self._why, self._is_narrow = why, is_narrow

    @classmethod
    def chosen(
        cls, asked: str, place: Placement, unet: UNet, folder: Path | None = None, memory: Room = Room()
    ) -> "Engine":
        """The engine that was asked for, where it can be had.

        With "auto" it is OpenVINO for networks of full size on processors where it is installed and memory suffices.
        Where it is not, for want of memory or of OpenVINO that was asked for, `notices` says why.

        Raises: ConfigError for an engine that is not known.
        """
        if asked not in ENGINES:
            raise ConfigError(f"The engine '{asked}' is not known; choose {', '.join(ENGINES)}.")
        is_auto = asked == "auto"
        serves = place.device.type == "cpu" and place.dtype in DTYPES
        is_full = sum(one.numel() for one in unet.parameters()) >= FULL_SIZE
        if asked == TORCH or (is_auto and not (serves and is_full)):
            return cls(folder=folder)
        where = f"{place.dtype_name} on {place.device}"
        why = None if serves else f"OpenVINO computes on processors, in float32 and bfloat16; this is {where}."
        if why is None:
            try:
                library()
            except MissingDependencyError as reason:
                why = str(reason)
        lack = memory.lacks(unet) if is_auto and why is None else None
        free = memory.free if is_auto else lambda: _AMPLE
        engine = cls(why is None and lack is None, folder, free, lack, asked == INT8)
        if lack is not None:
            engine.tell(lack)
        elif why is not None:
            engine.tell(f"torch computes. {why}")
        return engine

    @property
    def name(self) -> str:
        """As pictures tell it: "torch", or OpenVINO with its version, as long as some network is left to it.

        With a U-Net in 8 bits it is that, with its mark: another one would draw other pictures.
        """
        working = [one for one in self._networks if one.trouble is None]
        if not (self._uses_openvino and working):
            return TORCH
        marks = [one.narrow.mark for one in working if one.narrow is not None]
        return f"{INT8} {installed()} {marks[0]}" if marks else f"{NAME} {installed()}"

    @property
    def report(self) -> str:
        """The name, with what keeps OpenVINO from computing where memory does."""
        return self.name if self._why is None else f"{self.name} (too little memory for OpenVINO)"

    def serve(self, unet: UNet, vae: VAE, controlnet: ControlNet | None = None) -> None:
        """Takes over a model's networks, or leaves them to torch alone."""
        self._serve(unet, "unet")
        self._serve(vae, "vae")
        if controlnet is not None:
            self.serve_control(controlnet)

    def serve_control(self, net: Any) -> None:
        """The same for a net that comes later; a T2I-Adapter is left to torch."""
        if isinstance(net, ControlNetModel):
            self._serve(net, "controlnet")

    def notices(self) -> list[str]:
        """What there is to say since this was last asked."""
        said, self._said = self._said, []
        return said

    def tell(self, sentence: str) -> None:
        """Keeps a sentence for `notices`."""
        self._said.append(sentence)

    def _serve(self, net: nn.Module, kind: Kind) -> None:
        if not self._uses_openvino:
            release(net)
            return
        before = partial(self._rest, kind == "vae")
        folder = self._folder or default_folder()
        narrow = Narrow.kept(net, folder) if self._is_narrow and kind == "unet" else None
        if self._is_narrow and kind == "unet" and narrow is None:
            self.tell(
                "No U-Net in 8 bits is kept for this model as it is; make one with `blipdiff quantize`. Until then "
                f"OpenVINO computes it in {str(net.dtype).removeprefix('torch.')}."
            )
        network = CompiledNetwork(kind, folder, self._free, self.tell, before, narrow)
        self._networks.append(network)
        hold(net, network)

    def _rest(self, decodes: bool) -> None:
        """What decodes keeps no memory while others predict, nor these while it decodes."""
        for one in self._networks:
            if one.decodes != decodes:
                one.rest()


def differs(made_by: str, engine: str) -> str | None:
    """One sentence where a picture that one engine has drawn is drawn again by another; None where it is the same."""
    if made_by == engine:
        return None
    return f"The picture was drawn by {made_by:.60}, and is drawn by {engine} now; it may differ in the last digits."
