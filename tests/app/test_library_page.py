"""The library's tab without a browser: what each click changes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.ui.tabs.library import _Events
from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.subject_library import SubjectLibrary

ON = ("status", "search", "cards", "chosen", "download", "delete", "asked")


@pytest.fixture
def library(tmp_path: Path) -> SubjectLibrary:
    kept = SubjectLibrary(tmp_path / "library")
    for name in ("Rex", "Tom"):
        kept.save(SubjectEmbedding(torch.ones(4, 8), "dog"), name)
    return kept


@pytest.fixture
def events(library: SubjectLibrary) -> Any:
    return _Events(SimpleNamespace(library=library, lists=[]), *ON)  # type: ignore[arg-type]


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
