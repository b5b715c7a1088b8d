"""Converted networks on the disk: one folder each, written whole, named by all that its content depends on."""

import hashlib
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import diffusers

from blipdiff.errors import CheckpointError, OutputError
from blipdiff.foreign import first_line, foreign
from blipdiff.models.identity import DRAWING, Fingerprint
from blipdiff.outputs import clear_leftovers, writing, written_folder
from blipdiff.sampling.openvino_engine.library import NAME, core, installed, library
from blipdiff.sampling.openvino_engine.mapped import CAN_LET_GO, Mapped, lay_by, letting_go, take_up
from blipdiff.sampling.openvino_engine.traced import Kind, traced

_FORM = 1  # of what is written; another one is another folder
_GRAPH, _WEIGHTS, _TOLD = "network.xml", "network.bin", "network.json"
_LAID_BY = "torch.bin"  # torch's own weights
_FILES = (_TOLD, _GRAPH, _WEIGHTS, _LAID_BY)
_COPIES = 2 if CAN_LET_GO else 1  # of a network's weights: as OpenVINO has them, and as torch has them
_CHUNK = 2**24  # bytes
_FOLDER = re.compile(r"(unet|vae|controlnet)-[0-9a-f]{16}")  # of a network's folder, as `place_of` gives it


@dataclass(frozen=True, slots=True)
class Converted:
    """A network that was converted, and is kept.

    size: bytes on the disk; dtype: empty where nothing tells it; is_narrow: whether most of it is computed in 8 bits
    """

    kind: str
    place: Path
    size: int
    dtype: str
    is_damaged: bool = False
    is_narrow: bool = False


def default_folder() -> Path:
    """Where converted networks are kept unless another folder is named."""
    return Path.home() / ".cache" / "blipdiff" / NAME


def place_of(net: Any, kind: Kind, folder: Path, *, is_narrow: bool = False) -> Path:
    """The folder of a network: by its weights as they are, its settings, its dtype, and the libraries' versions.

    The weights are looked at, rather than what is known of them from their file: a LoRA may lie on them. is_narrow:
    whether it is computed in 8 bits
    """
    config = {name: value for name, value in net.config.items() if not name.startswith("_")}
    depends: dict[str, Any] = {
        "weights": Fingerprint(DRAWING).added(net.state_dict()).digest(),
        "config": config,
        "dtype": str(net.dtype),
        "versions": [_FORM, installed(), diffusers.__version__],
    }
    if is_narrow:
        depends["bits"] = 8
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return folder / f"{kind}-{digest}"


def convert(net: Any, kind: Kind, place: Path, change: Callable[[Any], None] | None = None) -> None:
    """Writes a network to its folder, whole or not at all; another process may do the same beside it.

    Its weights are laid by there first (`mapped.lay_by`), so that they take no memory beside what converting takes.
    change: makes its graph one of 8 bits before it is written

    Raises: MissingDependencyError without OpenVINO, OutputError where the folder cannot be written, and whatever the
    libraries raise on a network that they cannot convert; its weights are in memory then, as they were.
    """
    library()
    _check_disk(net, place)
    laid = None
    try:
        with written_folder(place) as part:  # before the minute that converting takes: the disk may be read-only
            laid = lay_by(net, part / _LAID_BY)
            with letting_go(laid):
                _write(net, kind, part, change)
    except BaseException:
        if laid is not None:  # or the file that is to be gone would stay on the disk for as long as the network lives
            take_up(net)
        raise


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A network as OpenVINO has it, and its weights' file, which is mapped: it outlives graph and what is compiled."""

    graph: Any
    weights: Mapped


def read(place: Path) -> Read:
    """The network of a folder, whose weights are mapped from the file: what is checked is what is used.

    Raises: CheckpointError where it is incomplete or damaged.
    """
    told = _told(place)
    weights = Mapped(place / _WEIGHTS)
    with foreign(place, "a converted network"):
        graph = (place / _GRAPH).read_bytes()
    with letting_go(weights):
        whole = weights.bytes.data
        chunks = (whole[begin : begin + _CHUNK] for begin in range(0, len(whole), _CHUNK))
        found = {_GRAPH: _checksum([graph]), _WEIGHTS: _checksum(chunks)}
    if told.get("checksums") != found:
        raise CheckpointError(f"{place} is damaged: its files are not those that were written.")
    with foreign(place, "a converted network"):
        given = library().Tensor(weights.bytes, shared_memory=True)
        return Read(core().read_model(graph.decode("utf-8"), given), weights)


def laid_by(net: Any, place: Path) -> None:
    """Lays a network's weights by in its folder, as `mapped.lay_by` does. Raises: as that."""
    lay_by(net, place / _LAID_BY)


def kept(folder: Path) -> list[Converted]:
    """The converted networks of a folder, damaged ones included; folders of other programs are passed by."""
    places = sorted(folder.glob("*-*")) if folder.is_dir() else []
    return [one for place in places if (one := _kept(place)) is not None]


def remove(folder: Path) -> int:
    """Removes the converted networks of a folder, and what killed processes left of some, and nothing else in it.

    Gives the bytes that are free again. Raises: OutputError where they cannot be removed.
    """
    free = 0
    clear_leftovers(folder)
    for one in kept(folder):
        with writing(one.place):
            for name in _FILES:
                (one.place / name).unlink(missing_ok=True)
        with suppress(OSError):  # where somebody put something beside them
            one.place.rmdir()
        free += one.size
    return free


def _kept(place: Path) -> Converted | None:
    """What a folder holds of a network; None where it is no folder of ours, by its name and by what lies in it."""
    if not _FOLDER.fullmatch(place.name) or place.is_symlink():
        return None
    try:
        sizes = {one.name: one.lstat().st_size for one in place.iterdir()}
    except OSError:
        return None
    try:
        told = _told(place)
    except CheckpointError:
        told = {}
    if "checksums" not in told and not sizes.keys() <= set(_FILES):
        return None
    sums = told.get("checksums")
    is_whole = isinstance(sums, dict) and sums == {name: [sizes.get(name), *sums[name][1:]] for name in sums}
    size = sum(sizes.get(name, 0) for name in _FILES)
    kind, dtype = place.name.partition("-")[0], str(told.get("dtype", ""))
    return Converted(kind, place, size, dtype, not is_whole, is_narrow=told.get("bits") == 8)


def mark_of(place: Path) -> str:
    """Eight digits that tell a kept network's weights from others'. Raises: CheckpointError where it is damaged."""
    try:
        return f"{int(_told(place)['checksums'][_WEIGHTS][1]):08x}"
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{place} is damaged: it does not tell its files.") from error


def _told(place: Path) -> dict[str, Any]:
    with foreign(place, "a converted network"):
        told = json.loads((place / _TOLD).read_text(encoding="utf-8"))
        return dict(told)


def _check_disk(net: Any, place: Path) -> None:
    """Passes where the disk has room for a network in both forms. Raises: OutputError."""
    needed = _COPIES * sum(one.numel() * one.element_size() for one in net.parameters())
    held = next((one for one in place.absolute().parents if one.is_dir()), None)
    free = needed if held is None else shutil.disk_usage(held).free
    if free < needed:
        raise OutputError(
            f"{place} cannot be written: it takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on the disk."
        )


def _write(net: Any, kind: Kind, part: Path, change: Callable[[Any], None] | None) -> None:
    openvino = library()
    function, given = traced(net, kind)
    graph = openvino.convert_model(function, example_input=given)
    _compute_in_float32(graph)
    if change is not None:
        change(graph)
    try:
        openvino.save_model(graph, str(part / _GRAPH), compress_to_fp16=False)
    except RuntimeError as reason:  # of its own streams, which do not tell why
        raise OutputError(
            f"{part.name} cannot be written: the disk is full, or fails ({first_line(reason)})."
        ) from reason
    _mark_narrow(part / _GRAPH)
    told: dict[str, Any] = {"kind": kind, "dtype": str(net.dtype).removeprefix("torch."), NAME: installed()}
    if change is not None:
        told["bits"] = 8
    sums = {name: _checksum(_chunks_of(part / name)) for name in (_GRAPH, _WEIGHTS)}
    (part / _TOLD).write_text(json.dumps({**told, "checksums": sums}, indent=1), encoding="utf-8")


def _checksum(chunks: Iterable[bytes | memoryview]) -> list[int]:
    """Size and CRC-32 of content, which tell a damaged file; nobody is kept from making one on purpose."""
    size = total = 0
    for chunk in chunks:
        size, total = size + len(chunk), zlib.crc32(chunk, total)
    return [size, total]


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _compute_in_float32(graph: Any) -> None:
    """Half-width weights stay as they are stored, and what is computed with them is float32 to whoever reads the graph.

    In which precision it is computed is said when it is compiled; OpenVINO's processors know no group norm otherwise.
    """
    openvino = library()
    opset, narrow = openvino.opset15, openvino.Type.bf16
    for node in graph.get_ordered_ops():
        name = node.get_type_name()
        if name == "Constant" and node.get_element_type() == narrow:
            readers = list(node.output(0).get_target_inputs())
            wide = opset.convert(node, "f32")
        elif name == "Convert" and node.get_attributes().get("destination_type") == "bf16":
            readers = list(node.output(0).get_target_inputs())
            wide = opset.convert(node.input_value(0), "f32")
        else:
            continue
        for one in readers:
            one.replace_source_output(wide.output(0))
    graph.validate_nodes_and_infer_types()


def _mark_narrow(path: Path) -> None:
    """Marks in a written graph where stored weights are only widened, by the mark that OpenVINO itself writes there.

    With it they are widened layer by layer as a network is compiled, and not all at once; its Python cannot set it.
    """
    tree = ElementTree.parse(path)
    for layer in tree.iter("layer"):
        port = layer.find("input/port")
        if layer.get("type") == "Convert" and port is not None and port.get("precision") == "BF16":
            mark = ElementTree.Element("attribute", {"name": "decompression", "version": "0"})
            marks = ElementTree.Element("rt_info")
            marks.append(mark)
            layer.insert(1, marks)
    tree.write(path)
