"""A U-Net in 8 bits: how near it is to the one that it was made of, what it keeps, and what becomes of a lost one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blipdiff.devices import Placement
from blipdiff.sampling.openvino_engine.cache import convert, kept, place_of, read
from blipdiff.sampling.openvino_engine.engine import Engine
from blipdiff.sampling.openvino_engine.int8 import narrow, ranges
from blipdiff.sampling.openvino_engine.library import installed
from blipdiff.sampling.openvino_engine.network import DTYPES, CompiledNetwork, Narrow
from tests.support.openvino_nets import AMPLE, needs_openvino
from tests.support.tiny_models import tiny_model

pytestmark = needs_openvino

CPU = Placement(torch.device("cpu"), torch.float32)
NEAR = 0.06  # of the output: the most that 8 bits of a network of random weights were seen to differ by is 0.031


def rows(count: int = 4, side: int = 8) -> list[list[Tensor]]:
    torch.manual_seed(0)
    times = torch.linspace(950, 50, count)
    return [[torch.randn(1, 4, side, side), time, torch.randn(1, 24, 16)] for time in times]


def make(unet: Any, folder: Path) -> Path:
    """A U-Net in 8 bits, kept in the folder."""
    seen: list[int] = []

    def change(graph: Any) -> None:
        narrow(graph, ranges(unet, graph, rows(), DTYPES[unet.dtype], seen.append))

    place = place_of(unet, "unet", folder, is_narrow=True)
    convert(unet, "unet", place, change)
    assert seen == [1, 2, 3, 4]
    return place


def by(unet: Any, folder: Path, *, is_narrow: bool, said: list[str] | None = None) -> CompiledNetwork:
    found = Narrow.kept(unet, folder) if is_narrow else None
    assert not is_narrow or found is not None
    return CompiledNetwork("unet", folder, lambda: AMPLE, ([] if said is None else said).append, narrow=found)


def ops(place: Path) -> list[Any]:
    return list(read(place).graph.get_ordered_ops())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_in_8_bits_is_near_to_its_own_in_other_sizes_too(tmp_path: Path, dtype: torch.dtype) -> None:
    unet = tiny_model().moved(dtype=dtype).unet
    make(unet, tmp_path)
    network, exact = by(unet, tmp_path, is_narrow=True), by(unet, tmp_path, is_narrow=False)
    for side in (8, 16):
        for one in rows(2, side):
            (found,), (wanted,) = network(unet, *one), exact(unet, *one)  # type: ignore[misc]
            away = float((found - wanted).norm() / wanted.norm())
            assert 0 < away < NEAR
    assert [(one.dtype, one.is_narrow) for one in sorted(kept(tmp_path), key=lambda one: one.is_narrow)] == [
        (str(dtype).removeprefix("torch."), False),
        (str(dtype).removeprefix("torch."), True),
    ]


def test_activations_are_narrow_inside_and_whole_at_the_ends(tmp_path: Path) -> None:
    unet = tiny_model().unet
    place = make(unet, tmp_path)
    convert(unet, "unet", place_of(unet, "unet", tmp_path))
    whole = place_of(unet, "unet", tmp_path)
    assert (place / "network.bin").stat().st_size < 0.5 * (whole / "network.bin").stat().st_size
    narrowed, kept_whole, weights = set(), set(), set()
    for node in ops(place):
        name = node.get_friendly_name()
        if node.get_type_name() not in ("Convolution", "MatMul") or "net." not in name:
            continue
        is_narrow = node.input_value(0).get_node().get_type_name() == "FakeQuantize"
        (narrowed if is_narrow else kept_whole).add(name.partition("/")[0])
        if node.input_value(1).get_node().get_type_name() == "Multiply":
            weights.add(name.partition("/")[0])
    ends = {"__module.net.conv_in", "__module.net.conv_out", "__module.net.time_embedding.linear_1"}
    assert ends <= kept_whole - weights
    assert any("resnets.0.conv1" in name for name in narrowed)
    assert any("attn1.to_v" in name for name in narrowed)
    assert any("attn2.to_k" in name for name in kept_whole & weights)


def test_a_row_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    unet = tiny_model().unet
    make(unet, tmp_path)
    network = by(unet, tmp_path, is_narrow=True)
    first, second = rows(2)
    both = [torch.cat([a, b]) if a.ndim else a for a, b in zip(first, second, strict=True)]
    (together,) = network(unet, *both)  # type: ignore[misc]
    (alone,) = network(unet, first[0], first[1], first[2])  # type: ignore[misc]
    assert torch.equal(together[:1], alone)


def test_weights_that_change_after_it_was_looked_up_are_torchs(tmp_path: Path) -> None:
    unet = tiny_model().unet
    make(unet, tmp_path)
    said: list[str] = []
    network = by(unet, tmp_path, is_narrow=True, said=said)
    with torch.no_grad():
        unet.conv_out.weight.mul_(1.01)
    assert network(unet, *rows(1)[0]) is None
    assert said == ["OpenVINO does not compute the U-Net (its weights were changed since); torch does."]


@pytest.mark.parametrize("damage", ["cut", "told"])
def test_a_damaged_one_gives_way_to_the_whole_network_with_a_word(tmp_path: Path, damage: str) -> None:
    unet = tiny_model().unet
    place = make(unet, tmp_path)
    said: list[str] = []
    network = by(unet, tmp_path, is_narrow=True, said=said)
    if damage == "cut":
        (place / "network.bin").write_bytes((place / "network.bin").read_bytes()[:-5])
    else:
        (place / "network.json").write_text("{}")
        assert Narrow.kept(unet, tmp_path) is None
    (found,) = network(unet, *rows(1)[0])  # type: ignore[misc]
    (wanted,) = by(unet, tmp_path, is_narrow=False)(unet, *rows(1)[0])  # type: ignore[misc]
    assert torch.equal(found, wanted)
    assert said[0] == "The U-Net in 8 bits was damaged; make it again with `blipdiff quantize`."
    assert network.narrow is None


def test_an_engine_names_the_network_that_draws_and_says_where_there_is_none(tmp_path: Path) -> None:
    model = tiny_model()
    engine = Engine.chosen("openvino-int8", CPU, model.unet, tmp_path)
    engine.serve(model.unet, model.vae)
    assert engine.name == f"openvino {installed()}"
    assert engine.notices() == [
        "No U-Net in 8 bits is kept for this model as it is; make one with `blipdiff quantize`. Until then OpenVINO "
        "computes it in float32."
    ]
    place = make(model.unet, tmp_path)
    engine.serve(model.unet, model.vae)
    assert engine.notices() == []
    name, version, mark = engine.name.split(" ")
    assert (name, version, len(mark)) == ("openvino-int8", installed(), 8)
    assert mark == Narrow.kept(model.unet, tmp_path).mark  # type: ignore[union-attr]
    assert place.name.startswith("unet-")
