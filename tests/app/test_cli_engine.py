"""Which engine draws, from the command line: asked for, set in the environment, repeated, told and removed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.settings import read_settings
from blipdiff.sampling.openvino_engine.library import installed
from pipelines.metadata import read_metadata
from tests.support.command_line import Command
from tests.support.openvino_nets import needs_openvino
from tests.support.refusals import assert_refused

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "converted-by-commands"  # the module's: each network is converted once
    monkeypatch.setenv("BLIPDIFF_CONVERTED", str(folder))
    return folder


def engine_of(picture: str | Path) -> str:
    return str(read_metadata(picture)["place"]["engine"])


def pixels(picture: str | Path) -> np.ndarray:
    return np.asarray(Image.open(picture)).astype(int)


@needs_openvino
def test_a_picture_is_drawn_by_the_engine_that_is_asked_for_and_again_by_its_own(
    blipdiff: Command, generate: Command, model: Path, converted: Path
) -> None:
    own = generate("--dtype", "float32", "--seed", 3).pictures[0]
    other = generate("--dtype", "float32", "--seed", 3, "--engine", "openvino").pictures[0]
    assert (engine_of(own), engine_of(other)) == ("torch", f"openvino {installed()}")
    assert np.abs(pixels(own) - pixels(other)).max() <= 1
    again = blipdiff("generate", "--model", model, "--like", other)
    assert again.code == 0, again.err
    assert "last digits" not in again.err
    assert engine_of(again.pictures[0]) == engine_of(other)
    assert np.array_equal(pixels(again.pictures[0]), pixels(other))
    crossed = blipdiff("generate", "--model", model, "--like", other, "--engine", "torch")
    assert crossed.err.count(f"was drawn by openvino {installed()}, and is drawn by torch now") == 1
    assert np.array_equal(pixels(crossed.pictures[0]), pixels(own))


@needs_openvino
def test_the_environment_chooses_and_an_option_wins(
    generate: Command, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_ENGINE", "openvino")
    assert engine_of(generate("--dtype", "float32").pictures[0]).startswith("openvino")
    assert engine_of(generate("--dtype", "float32", "--engine", "torch").pictures[0]) == "torch"


def test_an_unknown_engine_is_refused(generate: Command) -> None:
    assert_refused(generate("--engine", "onnx"), "The engine 'onnx' is not known; choose auto, torch, openvino")


def test_settings_name_engine_and_folder() -> None:
    plain = read_settings({})
    assert (plain.engine, plain.converted) == ("auto", None)
    given = read_settings({"BLIPDIFF_ENGINE": "torch", "BLIPDIFF_CONVERTED": "~/networks"})
    assert (given.engine, given.converted) == ("torch", Path.home() / "networks")


@needs_openvino
def test_converted_networks_are_listed_told_by_doctor_and_removed(
    blipdiff: Command, generate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLIPDIFF_CONVERTED", str(tmp_path / "networks"))
    assert blipdiff("models", "converted").out == f"No converted networks in {tmp_path / 'networks'}.\n"
    assert generate("--dtype", "float32", "--engine", "openvino", "--steps", 1).code == 0
    listed = blipdiff("models", "converted", "--json").answer
    assert [(one["kind"], one["dtype"]) for one in listed["networks"]] == [("unet", "float32"), ("vae", "float32")]
    assert "unet, float32: " in blipdiff("models", "converted").out
    assert "converted ones: 2 (" in blipdiff("doctor", "--json").answer["Runs on"]["OpenVINO"]
    (lost,) = (tmp_path / "networks").glob("vae-*/network.json")
    lost.unlink()
    assert "vae, damaged: " in blipdiff("models", "converted").out
    assert [one["damaged"] for one in blipdiff("models", "converted", "--json").answer["networks"]] == [False, True]
    assert ", 1 damaged)" in blipdiff("doctor", "--json").answer["Runs on"]["OpenVINO"]
    assert blipdiff("models", "converted", "--remove").code == 2, "it asks first"
    removed = blipdiff("models", "converted", "--remove", "--yes")
    assert (removed.code, "are free again" in removed.out) == (0, True)
    assert list((tmp_path / "networks").iterdir()) == []
