"""The library's tab without a browser: what each click changes."""

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.ui.tabs.library import LibraryEvents, Parts
from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.subject_library import SubjectLibrary

ON = Parts(*(item.name for item in fields(Parts)))


@pytest.fixture
def library(tmp_path: Path) -> SubjectLibrary:
    kept = SubjectLibrary(tmp_path / "library")
    for name in ("Rex", "Tom"):
        kept.save(SubjectEmbedding(torch.ones(4, 8), "dog"), name)
    return kept


@pytest.fixture
def events(library: SubjectLibrary) -> Any:
    return LibraryEvents(SimpleNamespace(library=library, lists=[]), ON)  # type: ignore[arg-type]


def test_deleting_asks_by_a_second_click_and_can_be_undone(library: SubjectLibrary, events: Any) -> None:
    def names() -> list[str]:
        return [entry.name for entry in library.entries()]

    first = events.delete("Rex", "", "")
    assert ("once more" in first["status"], first["asked"], names()) == (True, "Rex", ["Rex", "Tom"])
    other = events.delete("Tom", "", first["asked"])
    assert (other["asked"], names()) == ("Tom", ["Rex", "Tom"]), "another subject is asked for anew"
    assert events.forget("Rex")["asked"] == ""
    second = events.delete("Rex", "", first["asked"])
    assert (second["asked"], names()) == ("", ["Tom"])
    assert "is back" in events.restore("")["status"]
    assert names() == ["Rex", "Tom"]
    assert "Nothing was deleted" in events.restore("")["status"]


def test_cards_are_imported_as_they_are_and_photos_are_not(
    library: SubjectLibrary, events: Any, tmp_path: Path
) -> None:
    given = [str(SubjectEmbedding(torch.ones(4, 8), "cat").save(tmp_path / f"{name}.safetensors")) for name in "AB"]
    told = events.bring_in([*given, str(tmp_path / "photo.png")], "")
    assert "Imported" in told["status"] and told["names"] == ["A", "B", "Rex", "Tom"]
    assert library.load("A").category == "cat"
    assert "no card to import" in events.bring_in([str(tmp_path / "photo.png")], "")["status"]
    assert "already" in events.bring_in(given, "")["status"]


def test_the_card_that_was_clicked_is_chosen(events: Any) -> None:
    names = events.show("")["names"]
    assert events.choose(SimpleNamespace(index=1), names) == "Tom"
