"""Presets and grids from the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pipelines.metadata import read_metadata
from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of one's own presets."""
    monkeypatch.setenv("BLIPDIFF_PRESETS", str(tmp_path / "presets"))
    return tmp_path / "presets"


def asked_for(path: Path) -> dict[str, object]:
    request: dict[str, object] = read_metadata(path)["job"]["request"]
    return request


def test_a_preset_is_used_and_options_that_are_given_win(blipdiff: Command, model: Path, dog: Path, own: Path) -> None:
    own.mkdir()
    told = {"blipdiff": "preset", "version": 1, "name": "mine", "task": "generate"}
    told |= {"values": {"steps": 3, "prompt": "in the snow", "width": 32, "height": 16, "count": 1, "seed": 11}}
    (own / "mine.json").write_text(json.dumps(told))
    command = ("generate", "--model", model, "--subject", dog, "--category", "dog", "--preset", "mine")
    ended = blipdiff(*command)
    assert ended.code == 0, ended.err
    found = asked_for(ended.pictures[0])
    assert {name: found[name] for name in told["values"]} == told["values"]  # type: ignore[attr-defined,index]
    found = asked_for(blipdiff(*command, "--steps", 2, "--prompt", "on a beach", "--size", 16, "--seed", 4).pictures[0])
    assert (found["steps"], found["prompt"], found["width"], found["seed"]) == (2, "on a beach", 16, 4)
    by_file = blipdiff(*command[:-1], own / "mine.json", "--steps", 2)
    assert asked_for(by_file.pictures[0])["seed"] == 11
    wrong = blipdiff("generate", "--subject", dog, "--category", "dog", "--preset", "try-on")
    assert (wrong.code, "is for edit, not for generate" in wrong.err) == (2, True)


def test_a_presets_control_is_followed(blipdiff: Command, model: Path, dog: Path, controlnet: Path, own: Path) -> None:
    own.mkdir()
    control = {"control": str(controlnet), "preprocessor": "tile", "stop": 0.5}
    told = {"blipdiff": "preset", "version": 1, "name": "mine", "task": "stylize"}
    (own / "mine.json").write_text(json.dumps({**told, "values": {"controls": [control], "count": 1, "steps": 2}}))
    ended = blipdiff(
        "stylize", "--model", model, "--subject", dog, "--category", "dog", "--structure", dog, "--preset", "mine"
    )
    assert ended.code == 0, ended.err
    (found,) = asked_for(ended.pictures[0])["controls"]  # type: ignore[misc]
    assert (found["control"], found["stop"]) == ("controlnet", 0.5)


def test_presets_are_listed_shown_and_kept(blipdiff: Command, made: tuple[Path, Path], tmp_path: Path) -> None:
    listed = blipdiff("presets", "list", "edit").out
    assert "try-on  (edit)  A garment" in listed
    assert "sticker" not in listed
    ended = blipdiff("presets", "save", made[0], "--name", "my look", "--description", "As that one.")
    assert ended.code == 0, ended.err
    shown = json.loads(blipdiff("presets", "show", "my look").out)
    assert shown["values"] == {
        "count": 1,
        "steps": 2,
        "scheduler": "unipc",
        "guidance": shown["values"]["guidance"],
        "detail": 0.0,
    }
    (tmp_path / "given.json").write_text(json.dumps({**shown, "name": "given"}))
    assert blipdiff("presets", "save", tmp_path / "given.json").code == 0
    names = [one["name"] for one in json.loads(blipdiff("presets", "list", "generate", "--json").out)]
    assert names[-2:] == ["given", "my look"]
    unnamed = blipdiff("presets", "save", made[0])
    assert (unnamed.code, "--name 'my look'" in unnamed.err) == (2, True)


def test_a_grid_is_drawn_of_any_task(blipdiff: Command, model: Path, dog: Path, tmp_path: Path) -> None:
    command = ("grid", "generate", "--model", model, "--subject", dog, "--category", "dog", "--seed", 3, "--steps", 2)
    ended = blipdiff(*command, "--x", "guidance=1,3", "--y", "prompt=on a beach|in the snow", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.answer["pictures"]) == 4
    with Image.open(ended.answer["grid"][0]) as sheet:
        assert sheet.width > sheet.height / 2
    path = ended.answer["pictures"][3]["path"]
    again = blipdiff("generate", "--like", path, "--model", model)
    with Image.open(again.pictures[0]) as one, Image.open(path) as other:
        assert one.tobytes() == other.tobytes()
    assert "A grid needs --x" in blipdiff(*command).err
    assert "no parameter 'stepz'" in blipdiff(*command, "--x", "stepz=1").err
    assert "drawn again one by one" in blipdiff("grid", "generate", "--like", path, "--x", "steps=1").err
