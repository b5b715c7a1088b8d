"""Pictures that are to be drawn again: settings that are missing, altered or damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.metadata import read_metadata
from tests.support.command_line import Command, with_metadata
from tests.support.refusals import assert_refused

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture
def drawn(made: tuple[Path, Path]) -> Path:
    """A picture that the tiny model made."""
    return made[0]


@pytest.fixture
def repeat(blipdiff: Command, model: Path) -> Command:
    return lambda path, *arguments: blipdiff("generate", "--model", model, "--like", path, *arguments)


def test_only_a_picture_that_tells_its_settings_is_repeated(
    repeat: Command, generate: Command, dog: Path, tmp_path: Path
) -> None:
    assert_refused(repeat(dog), "carries no settings")
    assert_refused(repeat(tmp_path / "none.png"), "There is no picture")
    assert_refused(repeat(tmp_path), "is not a file")
    (tmp_path / "text.png").write_text("hello")
    assert_refused(repeat(tmp_path / "text.png"), "is not a picture")
    bare = generate("--no-metadata", "--output", tmp_path / "bare").pictures[0]
    assert_refused(repeat(bare), "carries no settings")


def test_a_picture_of_another_model_is_not_repeated(
    repeat: Command, drawn: Path, models: Callable[[int], Path]
) -> None:
    ended = repeat(drawn, "--model", models(1))
    assert_refused(ended, "was made by the model tiny")
    assert "Load that model" in ended.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request": {"steps": 10**9}}, "Steps is 1000000000"),
        ({"request": {"guidance": None}}, "Guidance must be a number"),
        ({"request": {"scheduler": "__import__('os').system('true')"}}, "choose one of"),
        ({"job": {"inputs": {"subject": [{"rows": "aGVsbG8=", "category": "dog"}]}}}, "lacks the picture's subject"),
        ({"job": {"inputs": {}}}, "No subject was given"),
        ({"job": {"task": "painting"}}, "There is no task 'painting'"),
        ({"job": {"index": 10**400}}, "is not among the request's"),
        ({"request": {"count": 10**12}}, "Pictures is 1000000000000"),
        ({"model": {}}, "was made by the model None"),
        ({"place": {"device": "; rm -rf /"}}, "is not known"),
        ({"place": {"device": "cuda:7"}}, "is not available here"),
        ({"place": {"dtype": "float1"}}, "The dtype 'float1' is not known"),
    ],
    ids=str,
)
def test_altered_settings_are_refused(
    change: dict[str, Any], words: str, repeat: Command, drawn: Path, tmp_path: Path
) -> None:
    found = read_metadata(drawn)
    job = found["job"] | change.get("job", {})
    job["request"] |= change.get("request", {})
    rest = {name: value for name, value in change.items() if name not in ("job", "request")}
    altered = with_metadata(tmp_path / "altered.png", json.dumps(found | rest | {"job": job}))
    assert_refused(repeat(altered), words)


@pytest.mark.parametrize("place", ["here", None, [], {}, {"dtype": 5, "device": ["cpu"]}], ids=str)
def test_a_place_that_says_nothing_is_no_hindrance(place: object, repeat: Command, drawn: Path, tmp_path: Path) -> None:
    altered = with_metadata(tmp_path / "altered.png", json.dumps(read_metadata(drawn) | {"place": place}))
    ended = repeat(altered)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 50_000, '{"version": 1}', '{"seed": NaN}'])
def test_damaged_settings_are_refused(text: str, repeat: Command, tmp_path: Path) -> None:
    assert_refused(repeat(with_metadata(tmp_path / "altered.png", text)), "altered.png")


@pytest.mark.parametrize(
    "option", [("--prompt", "x"), ("--seed", 1), ("--count", 2), ("--size", "16x16"), ("--category", "dog")]
)
def test_what_would_change_a_repeated_picture_is_refused(
    option: tuple[object, ...], repeat: Command, drawn: Path
) -> None:
    assert_refused(repeat(drawn, *option), f"--like draws a picture as it was; leave out {option[0]}")
