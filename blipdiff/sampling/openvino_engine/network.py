"""One network in OpenVINO: converted when it is first called, compiled for each size, given up where it fails."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blipdiff.attention.taps import is_plain
from blipdiff.errors import CheckpointError, OutOfMemoryError, OutputError
from blipdiff.foreign import first_line
from blipdiff.sampling.openvino_engine.cache import Read, convert, laid_by, mark_of, place_of, read
from blipdiff.sampling.openvino_engine.library import core
from blipdiff.sampling.openvino_engine.mapped import CAN_LET_GO, give_back, letting_go
from blipdiff.sampling.openvino_engine.traced import Kind, residual_shapes, size_step

DTYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}  # of the network -> in which it is computed
LABELS: dict[Kind, str] = {"unet": "U-Net", "vae": "VAE", "controlnet": "ControlNet"}

_OWN_INPUTS = 3  # of a U-Net's call without control nets
_MOST_SIZES = 4  # of pictures and tiles that a network stays compiled for; they share their weights
_ROOM = 0.6 if CAN_LET_GO else 1.6  # times a network's weights, beside them: converted, or in OpenVINO's own layout
_SLOW = 5.0  # seconds of converting that are worth a word

_Shapes: TypeAlias = tuple[tuple[int, ...], ...]
_State: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Narrow:
    """A U-Net in 8 bits that is kept.

    mark: of its weights; state: of the network's own, as they were when it was looked up
    """

    place: Path
    mark: str
    state: _State

    @classmethod
    def kept(cls, net: Any, folder: Path) -> "Narrow | None":
        """The one of a network as it is, None where there is none that can be used."""
        place = place_of(net, "unet", folder, is_narrow=True)
        try:
            return cls(place, mark_of(place), _state_of(net)) if place.is_dir() else None
        except CheckpointError:
            return None


class CompiledNetwork:
    """What stands in for a network of torch: rows are computed one after the other, so that any number of them will do.

    At 512 pixels a row costs as much processor time alone as among others, and a network that is compiled for one row
    serves all: a picture does not depend on the batch that it is drawn in.

    folder: of converted networks; free: bytes of memory that are free; tell: takes a sentence for the user; before:
    is called before each call; narrow: what is computed in its place, in 8 bits
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        free: Callable[[], int],
        tell: Callable[[str], None],
        before: Callable[[], None] = lambda: None,
        narrow: Narrow | None = None,
    ) -> None:
        self._kind, self._folder, self._free, self._tell, self._before = kind, folder, free, tell, before
        self._lock = Lock()
        self._read: Read | None = None
        self._state: _State = ()
        self._compiled: OrderedDict[_Shapes, Any] = OrderedDict()
        self._zeros: tuple[tuple[int, int], list[Any]] | None = None
        self._has_computed = False  # since it was last at rest
        self.narrow = narrow
        self.trouble: str | None = None  # why torch computes instead

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:
        """As `blipdiff.stand_ins.StandIn` has it.

        inputs: of the U-Net latents, timestep, words and, with control nets, their residuals; of a control net
        latents, timestep, words and the picture; of the VAE latents
        """
        with self._lock:
            if self.trouble is not None or not self._takes(net, inputs):
                return None
            self._before()
            self._has_computed = True
            try:
                return self._computed(net, inputs)
            except Exception as reason:  # whatever the libraries raise: torch can do it
                self.give_up(first_line(reason))
                return None

    @property
    def decodes(self) -> bool:
        """Whether it makes pictures, and predicts nothing."""
        return self._kind == "vae"

    def rest(self) -> None:
        """Gives back the memory that it keeps from one call to the next; nothing where it computes at this moment."""
        if self._has_computed and self._lock.acquire(blocking=False):
            try:
                for one in self._compiled.values():
                    one.release_memory()
                self._has_computed = False
            finally:
                self._lock.release()

    def give_up(self, why: str) -> None:
        """Leaves the network to torch from now on, and says so once."""
        self.trouble = f"OpenVINO does not compute the {LABELS[self._kind]} ({why}); torch does."
        self._tell(self.trouble)
        self._compiled.clear()
        self._read = None  # last: what is compiled may look into its file

    def _takes(self, net: Any, inputs: Sequence[Tensor]) -> bool:
        """Whether the network is what it is by its configuration and weights alone, and the inputs are as usual."""
        latents = inputs[0]
        if latents.device.type != "cpu" or net.dtype not in DTYPES or not is_plain(net):
            return False
        if self._kind == "vae":
            return not getattr(net, "use_tiling", False)
        step = size_step(net)
        return inputs[1].ndim == 0 and not any(side % step for side in latents.shape[-2:])

    def _computed(self, net: Any, inputs: Sequence[Tensor]) -> list[Tensor] | None:
        state = _state_of(net)
        if self._read is None and (self.narrow is None or self.narrow.state == state):
            self._read, self._state = self._opened(net), state
        elif state != self._state:
            self.give_up("its weights were changed since")
            return None
        with torch.no_grad():
            rows = [self._row(net, [_of_row(one, row) for one in inputs]) for row in range(inputs[0].shape[0])]
        return [torch.cat(parts) for parts in zip(*rows, strict=True)]

    def _row(self, net: Any, inputs: list[Any]) -> list[Tensor]:
        given = [*inputs, *self._nothing(net, inputs)]
        shapes = tuple(one.shape for one in given)
        if shapes not in self._compiled:
            self._compiled[shapes] = self._compile(self._read, net, shapes)  # type: ignore[arg-type]
            while len(self._compiled) > _MOST_SIZES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(shapes)
        network = self._compiled[shapes]
        found = network(given)
        return [torch.from_numpy(found[place].copy()) for place in range(len(network.outputs))]

    def _nothing(self, net: Any, inputs: list[Any]) -> list[Any]:
        """Zeros for the residuals of control nets, where a U-Net's call has none: with and without is one network."""
        if self._kind != "unet" or len(inputs) > _OWN_INPUTS:
            return []
        size = inputs[0].shape[-2], inputs[0].shape[-1]
        if self._zeros is None or self._zeros[0] != size:
            self._zeros = size, [torch.zeros(shape).numpy() for shape in residual_shapes(net, *size)]
        return self._zeros[1]

    def _compile(self, found: Read, net: Any, shapes: _Shapes) -> Any:
        graph = found.graph.clone()
        graph.reshape({place: list(shape) for place, shape in enumerate(shapes)})
        told = {
            "INFERENCE_PRECISION_HINT": DTYPES[net.dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        with letting_go(found.weights):  # it has its own copy then, in its own layout
            return core().compile_model(graph, "CPU", told)

    def _opened(self, net: Any) -> Read:
        """The network from its folder, converted before where it is not there or damaged; torch's weights lie there."""
        label = LABELS[self._kind]
        needed = room(net)
        if needed > self._free():
            raise OutOfMemoryError(f"it takes about {needed / 1e9:.1f} GB more, which are not free")
        if self.narrow is not None:
            try:
                return self._kept(net, self.narrow.place)
            except CheckpointError:
                self.narrow = None
                self._tell(f"The {label} in 8 bits was damaged; make it again with `blipdiff quantize`.")
        place = place_of(net, self._kind, self._folder)
        if place.exists():
            try:
                return self._kept(net, place)
            except CheckpointError:
                self._tell(f"The converted {label} was damaged; it is converted again.")
        begun = time.perf_counter()
        convert(net, self._kind, place)
        give_back()
        if (seconds := time.perf_counter() - begun) > _SLOW:
            self._tell(f"The {label} was converted for OpenVINO in {seconds:.0f} s; it is kept for the next time.")
        return read(place)

    def _kept(self, net: Any, place: Path) -> Read:
        found = read(place)
        self._lay_by(net, place)
        return found

    def _lay_by(self, net: Any, place: Path) -> None:
        try:
            laid_by(net, place)
        except OutputError as reason:
            self._tell(f"torch's own weights of the {LABELS[self._kind]} stay in memory: {reason}")


def room(net: Any) -> int:
    """Bytes that a network takes beside its weights, as they lie in memory, to be converted and compiled."""
    weights: int = sum(one.numel() * one.element_size() for one in net.parameters())
    return round(_ROOM * weights)


def _of_row(one: Tensor, row: int) -> Any:
    """What one row has of an input, as OpenVINO takes it; what has no rows, such as a timestep, is everybody's."""
    part = one if one.ndim == 0 else one[row : row + 1]
    return part.detach().float().contiguous().numpy()


def _state_of(net: Any) -> _State:
    """Which weights a network has, in what dtype, how often each was written: enough to see that they are others."""
    writes = ((id(one), 0 if one.is_inference() else one._version) for one in net.parameters())
    return net.dtype, *writes
