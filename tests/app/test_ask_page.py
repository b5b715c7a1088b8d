"""The tab that answers questions: a conversation that "it" refers to, where was looked, and what cannot be answered."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.jobs.engines import Engines
from app.ui.tabs.ask import Parts, answer, begun
from app.ui.texts import speaking

pytestmark = pytest.mark.bundled
BALLOON = str(Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects" / "balloon.png")
ON = Parts("status", "question", "told", "heat", "turns")


class Bench:
    """What the tab needs of the room."""

    def __init__(self) -> None:
        self.workshop = self
        self.engines = Engines()


def asked(question: str, before: list[Any], path: str | None = BALLOON, room: Any = Bench()) -> dict[str, Any]:  # noqa: B008
    return answer(room, ON, path, "mini-describe", question, before)


def test_a_conversation_goes_on_and_shows_where_was_looked() -> None:
    first = asked("is it a balloon?", [])
    assert first["status"] == ""
    assert first["question"] == ""
    second = asked("what colour is it?", first["turns"])
    assert [one.answer for one in second["turns"]][1] == "red"
    assert second["told"].count("<dt>") == 2
    assert "data:image/jpeg" in second["heat"]
    assert "a balloon" in second["heat"]
    again = begun(ON)
    assert again["turns"] == []
    assert "<dt>" not in again["told"]


def test_foreign_text_is_shown_and_does_nothing() -> None:
    told = asked("is it a <img src=x>?", [])["told"]
    assert "<img" not in told
    assert "&lt;img" in told


def test_what_cannot_be_answered_is_said_and_the_conversation_stays(tmp_path: Path) -> None:
    for question, says in (("", "empty"), ("why " * 2500, "letters long"), ("who made it?", "another kind")):
        told = asked(question, [])
        assert says in told["status"]
        assert "turns" not in told
    assert "photo first" in asked("what is it?", [], None)["status"]
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    assert "shows nothing" in asked("what is it?", [], str(tmp_path / "dot.png"))["status"]


def test_notes_are_told_in_the_visitors_language() -> None:
    with speaking("zh"):
        told = asked("what is it?", [])["told"]
        assert "它不确定" in told
        assert "不认识照片" in told
