"""A task that a program registers has its command, whatever it can be asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.cli.commands import declared
from blipdiff.errors import ConfigError
from pipelines.generate import run
from pipelines.metadata import read_metadata
from pipelines.parameters import parameter
from pipelines.requests import SubjectSampling
from pipelines.task import SUBJECTS, InputKind, Task, register
from tests.support.command_line import Command
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyRequest(SubjectSampling):
    """What generate draws, with fields of every kind beside it."""

    wobble: float = parameter(
        0.25, "Wobble", "How much it wobbles.", low=0.0, high=2.0, step=0.05, aliases=("shake",), group="Play"
    )
    colours: tuple[str, ...] = parameter(("red",), "Colours", "Of the toy.", choices=("red", "blue", "none"))
    is_loud: bool = parameter(False, "Loud", "Whether it makes a noise.", flag="loud")
    rattle: bool | None = parameter(None, "Rattle", "Whether it rattles; the model's own if absent.")
    place: str = parameter(
        "floor", "Place", "Where it lies.", choices=("floor", "shelf"), old_choices=(("board", "shelf"),)
    )

    def __post_init__(self) -> None:
        SubjectSampling.__post_init__(self)
        if self.is_loud and self.place == "shelf":
            raise ConfigError("What lies on the shelf is silent.")


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task that draws what generate draws."""
    monkeypatch.setattr("pipelines.task._REGISTERED", {})
    inputs = {
        "subject": SUBJECTS,
        "wall": InputKind("picture", "Wall", "What stands behind it.", most=None),
        "stain": InputKind("mask", "Stain", "Where it is dirty."),
    }
    return register(Task("toy", "Draw a toy.", "blipdiff toy --wobble 1", ToyRequest, inputs, "pipelines.generate.run"))


@pytest.fixture
def play(blipdiff: Command, model: Path, dog: Path) -> Command:
    """play("--wobble", 1): a short run of the tiny model."""

    def run(*arguments: object):
        own = () if "--like" in arguments else ("--subject", dog, "--category", "dog", "--steps", 2, "--count", 1)
        return blipdiff("toy", "--model", model, *own, *arguments)

    return run


def test_help_shows_a_new_field_with_its_range_default_and_group(blipdiff: Command) -> None:
    assert "Draw a toy." in blipdiff("--help").out
    shown = blipdiff("toy", "--help").out
    assert "blipdiff toy --wobble 1" in shown
    play = shown[shown.index("─ Play") :]
    assert "How much it wobbles. From 0 to 2. [default: 0.25]" in play[: play.index("╰")]
    own = shown[shown.index("─ Toy") :]
    own = own[: own.index("╰")]
    for words in (
        "--colours",
        "Of the toy. One of: red, blue, none. [default: (red)]",
        "--loud",
        "--no-loud",
        "--place",
    ):
        assert words in own
    assert "--shake" not in shown
    assert "--wall" in shown and "--stain" in shown
    panels = list(dict.fromkeys(param.rich_help_panel for param in declared("toy").params if not param.hidden))
    assert panels == [
        "Subject",
        "Words",
        "Details",
        "Play",
        "Toy",
        "Pictures",
        "Sampling",
        "Model and machine",
        "What goes on the model",
        "Output",
    ]


def test_square_brackets_of_a_help_text_are_no_colours(blipdiff: Command) -> None:
    assert "[word]" in blipdiff("generate", "--help").out


def test_a_new_field_is_written_into_the_picture_and_repeated_from_it(play: Command) -> None:
    asked = ("--wobble", 1.5, "--colours", "blue", "--colours", "red", "--loud", "--no-rattle", "--seed", 4)
    drawn = play(*asked).pictures[0]
    told = read_metadata(drawn)["job"]
    fields: dict[str, Any] = {"wobble": 1.5, "colours": ["blue", "red"], "is_loud": True, "rattle": False}
    assert told["task"] == "toy"
    assert {name: told["request"][name] for name in fields} == fields
    ended = play("--like", drawn, "--output", "again")
    assert ended.code == 0, ended.err
    assert read_metadata(ended.pictures[0]) == read_metadata(drawn)
    with Image.open(drawn) as one, Image.open(ended.pictures[0]) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
    refused = play("--like", drawn, "--wobble", 1)
    assert (refused.code, "leave out --wobble" in refused.err) == (2, True)


def test_a_new_fields_range_choices_and_rules_are_checked(play: Command) -> None:
    for asked, words in (
        (("--wobble", 3), "Wobble is 3.0; it goes from 0 to 2"),
        (("--colours", "green"), "Colours is 'green'; choose one of: red, blue, none"),
        (("--loud", "--place", "shelf"), "What lies on the shelf is silent"),
    ):
        ended = play(*asked)
        assert (ended.code, words in ended.err) == (2, True), ended.err


def test_old_names_and_choices_of_a_new_field_are_taken_with_a_word(play: Command) -> None:
    ended = play("--shake", 1, "--place", "board")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "--shake is called --wobble now; both are taken.",
        "Place: 'board' is called 'shelf' now; both are taken.",
    ]
    request = read_metadata(ended.pictures[0])["job"]["request"]
    assert (request["wobble"], request["place"]) == (1.0, "shelf")


def test_pictures_and_masks_reach_the_task_opened(
    play: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    prepare = run.prepare

    def prepared(studio: Any, job: Any) -> Any:
        seen.update(job.inputs)
        return prepare(studio, job)

    monkeypatch.setattr(run, "prepare", prepared)
    photo(3, (20, 12)).save(tmp_path / "wall.png")
    Image.new("L", (9, 9), 255).save(tmp_path / "stain.png")
    ended = play("--wall", tmp_path / "wall.png", "--wall", tmp_path / "wall.png", "--stain", tmp_path / "stain.png")
    assert ended.code == 0, ended.err
    assert [one.image.size for one in (*seen["wall"], *seen["stain"])] == [(20, 12), (20, 12), (9, 9)]
    assert seen["wall"][0].word == "wall"
