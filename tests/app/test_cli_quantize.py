"""`blipdiff quantize` on a tiny model: a U-Net in 8 bits is made, measured, drawn by and repeated; and bad asking."""

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.ranges import INT8
from blipdiff.sampling.openvino_engine.library import NAME, installed
from pipelines.metadata import read_metadata
from tests.support.command_line import Command, at_call
from tests.support.openvino_nets import needs_openvino
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]

FEW = ("--rows", 2, "--calls", 2, "--dtype", "float32")


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "networks"
    monkeypatch.setenv("BLIPDIFF_CONVERTED", str(folder))
    return folder


def engine_of(picture: str | Path) -> str:
    return str(read_metadata(picture)["place"]["engine"])


@needs_openvino
def test_a_unet_in_8_bits_is_made_listed_drawn_by_and_repeated(
    blipdiff: Command, generate: Command, model: Path, networks: Path
) -> None:
    asked = ("--dtype", "float32", "--seed", 3, "--count", 1, "--engine", INT8)
    before = generate(*asked)
    assert "No U-Net in 8 bits is kept for this model as it is; make one with `blipdiff quantize`." in before.err
    assert engine_of(before.pictures[0]) == f"openvino {installed()}"

    made = blipdiff("quantize", model, *FEW)
    assert made.code == 0, made.err
    assert " dB from those in float32, at least " in made.out
    assert f"Draw with --engine {INT8}. It is kept in {networks}" in made.out
    assert "unet, float32, 8 bits: " in blipdiff("models", "converted").out

    drawn = generate(*asked)
    assert "8 bits" not in drawn.err
    assert engine_of(drawn.pictures[0]).startswith(f"{INT8} {installed()} ")
    own, other = (np.asarray(Image.open(one.pictures[0])).astype(int) for one in (drawn, before))
    assert np.abs(own - other).max() > 0
    again = blipdiff("generate", "--model", model, "--like", drawn.pictures[0])
    assert again.code == 0, again.err
    assert np.array_equal(np.asarray(Image.open(again.pictures[0])), own)
    assert "last digits" not in again.err

    once_more = blipdiff("quantize", model, *FEW, "--seed", 5, "--json")
    assert once_more.code == 0, once_more.err
    assert set(once_more.answer) == {"place", "decibels"}
    other_one = blipdiff("generate", "--model", model, "--like", drawn.pictures[0])
    assert "was drawn by openvino-int8" in other_one.err, "another network of 8 bits: other pictures"


@needs_openvino
@pytest.mark.parametrize("at", ["torch", "ranges", "written"])
def test_stopped_in_the_middle_nothing_is_left(blipdiff: Command, model: Path, networks: Path, at: str) -> None:
    file, function, number = {
        "torch": ("sampling/predictor.py", "__call__", 2),
        "ranges": ("openvino_engine/int8.py", "_key", 5),
        "written": ("openvino_engine/cache.py", "_mark_narrow", 1),
    }[at]
    with at_call(file, function, number, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff("quantize", model, *FEW)
    assert ended.code == 130
    assert list(networks.glob("*")) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--dtype", "float16"), "A U-Net in 8 bits is for processors, made in float32 or bfloat16"),
        (("--subjects", "NONE"), "is no folder"),
        (("--subjects", "ONE"), "holds 1 pictures"),
        (("--calls", 1), "from 2 to 100"),
        (("--rows", 0), "from 1 to 256"),
    ],
)
def test_bad_asking_ends_before_the_long_work(
    blipdiff: Command, model: Path, tmp_path: Path, given: tuple[Any, ...], said: str
) -> None:
    places = {"NONE": tmp_path / "none", "ONE": tmp_path / "one"}
    places["ONE"].mkdir()
    photo().save(places["ONE"] / "dog.png")
    with at_call("pipelines/quantize.py", "_drawn", 1, lambda: pytest.fail("drawing began")):
        ended = blipdiff("quantize", model, *(places.get(one, one) if isinstance(one, str) else one for one in given))
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_without_openvino_it_says_how_to_get_it(
    blipdiff: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, NAME, None)
    ended = blipdiff("quantize", model, *FEW)
    assert ended.code == 2
    assert "pip install 'blipdiff[openvino]'" in ended.err


def test_a_place_that_takes_nothing_is_told_before_the_long_work(
    blipdiff: Command, model: Path, networks: Path
) -> None:
    networks.write_text("a file")
    with at_call("pipelines/quantize.py", "_drawn", 1, lambda: pytest.fail("drawing began")):
        ended = blipdiff("quantize", model, *FEW)
    assert ended.code == 2
    assert "cannot be written" in ended.err
