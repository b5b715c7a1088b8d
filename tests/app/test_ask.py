"""`blipdiff ask`: turns, chances, a heat map; what cannot be asked is one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines.ask.request import AskRequest
from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]
pytestmark = pytest.mark.bundled

BALLOON = Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects" / "balloon.png"


def test_questions_in_a_row_are_one_dialogue_and_the_last_is_painted(blipdiff: Command, tmp_path: Path) -> None:
    heat = tmp_path / "looked.png"
    ended = blipdiff("ask", BALLOON, "is it a balloon?", "what colour is it?", "--heat-map", heat, "--json")
    assert ended.code == 0, ended.err
    first, second = ended.answer["answers"]
    assert second["answer"] == "red"
    assert [text for text, _ in first["chances"]] in (["yes", "no"], ["no", "yes"])
    assert "a balloon" in second["looked"]
    with Image.open(heat) as painted, Image.open(BALLOON) as photo:
        assert painted.size == photo.size


def test_answers_are_said_with_their_chances_and_one_note_for_the_photo(blipdiff: Command) -> None:
    ended = blipdiff("ask", BALLOON, "what is it?", "is it red or green?", "--beams", 2)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[4].strip() == "red"
    assert ended.err.count("not sure") == 1


def test_questions_are_read_line_by_line_where_none_is_given() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app", "ask", str(BALLOON)],
        input="what colour is the balloon?\n\nwhat is it?\n", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == "red"
    assert len(ended.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["   "], "question is empty"),
        (["why " * 2500], "letters long"),
        (["who made it?"], "another kind"),
        (["what is it?", "--engine", "gpt"], "no engine"),
        (["what is it?", "--engine", "blip-vqa"], "about 1.5 GB"),
        (["what is it?", "--weights", "nowhere"], "no folder nowhere"),
        (["what is it?", "--temperature", 9], "emperature"),
        (["what is it?", "--share", 0], "share of 0"),
        (["what is it?", "--heat-map", "looked.jpg"], "written as .png"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(blipdiff: Command, given: list[str], says: str) -> None:
    ended = blipdiff("ask", BALLOON, *given)
    assert ended.code == 2
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_a_photo_of_one_pixel_shows_nothing(blipdiff: Command, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    ended = blipdiff("ask", tmp_path / "dot.png", "what is it?")
    assert (ended.code, "shows nothing" in ended.err) == (2, True)


def test_settings_become_those_of_an_engine() -> None:
    speaking = AskRequest(beams=3, temperature=0.5, longest=7, seed=4).speaking
    assert speaking.options() | {"num_beams": 3} == speaking.options()
    assert (speaking.longest, speaking.temperature, speaking.seed) == (7, 0.5, 4)
