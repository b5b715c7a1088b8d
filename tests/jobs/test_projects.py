"""Project files: what is saved comes back, and what could harm is refused."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.history import History, Search
from app.jobs.projects import bring_in, opened_project, save_project
from app.jobs.tickets import new_name
from blipdiff.errors import ConfigError
from pipelines.job import run as run_job
from pipelines.subject_library import SubjectLibrary
from pipelines.task import Result
from tests.support.studios import dog, job
from tests.support.workshops import tiny_studio

_ABOUT = json.dumps({"format": "blipdiff-project", "version": 1, "name": "x"})


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "one")
    yield made
    made.close()


def kept(history: History) -> str:
    result = next(event for event in run_job(tiny_studio(), job()) if isinstance(event, Result))
    return history.add(result, new_name(), 0, "local").id


def test_a_project_brings_pictures_jobs_and_cards_to_another_machine(history: History, tmp_path: Path) -> None:
    library = SubjectLibrary(tmp_path / "subjects")
    library.save(tiny_studio().subject([dog()]), "Rex")
    name = kept(history)
    path = save_project(
        tmp_path / "mine.blipdiff",
        history,
        history.search(Search()),
        jobs=[job(seed=9)],
        library=library,
        cards=["Rex"],
    )
    other, cards = History(tmp_path / "two"), SubjectLibrary(tmp_path / "cards")
    with opened_project(path) as project:
        assert project.name == "mine"
        assert project.jobs[0].as_mapping() == job(seed=9).as_mapping()
        assert bring_in(project, other, cards, "local") == (1, 1)
        assert bring_in(project, other, cards, "local") == (0, 0)
    found, own = other.entry(name), history.entry(name)
    assert other.file(found).read_bytes() == history.file(own).read_bytes()
    assert [one.name for one in cards.entries()] == ["Rex"]
    other.close()


def test_a_project_takes_no_picture_of_another_owners_place(history: History, tmp_path: Path) -> None:
    name = kept(history)
    path = save_project(tmp_path / "mine.blipdiff", history, history.search(Search()))
    with opened_project(path) as project:
        assert bring_in(project, history, SubjectLibrary(tmp_path / "cards"), "somebody") == (0, 0)
    assert history.entry(name).owner == "local"


def packed(path: Path, members: dict[str, bytes], **how: int) -> Path:
    with zipfile.ZipFile(path, "w", how.get("compression", zipfile.ZIP_STORED)) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "is no project file"),
        ({"project.json": b"[]"}, "is no project file"),
        ({"project.json": b"{" * 100_000}, "is no project file"),
        ({"project.json": json.dumps({"format": "blipdiff-project", "version": 9}).encode()}, "version 9"),
        ({"project.json": _ABOUT.encode(), "../evil.png": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "pictures/../../evil.png": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "pictures/a\\b.png": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "/pictures/a.png": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "pictures/evil.py": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "cards/evil.pkl": b"x"}, "which no project has"),
        ({"project.json": _ABOUT.encode(), "pictures/.hidden.png": b"x"}, "hidden"),
        ({"project.json": _ABOUT.encode(), "pictures/A.png": b"x", "pictures/a.png": b"x"}, "twice"),
        ({"project.json": _ABOUT.encode(), "jobs/1.json": b'{"version": 1, "task": "rm -rf"}'}, "damaged"),
    ],
)
def test_what_no_project_holds_is_refused(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    path = packed(tmp_path / "evil.blipdiff", members)
    with pytest.raises(ConfigError, match=words), opened_project(path):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["evil.blipdiff"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = {"project.json": _ABOUT.encode(), "pictures/bomb.png": bytes(30_000_000)}
    path = packed(tmp_path / "bomb.blipdiff", bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ConfigError, match="not safe to unpack"), opened_project(path):
        pass


def test_a_job_of_a_project_names_no_file_of_the_machine(tmp_path: Path) -> None:
    told = job().as_mapping()
    told["inputs"]["subject"] = [{"path": "/etc/passwd", "word": "dog"}]
    path = packed(tmp_path / "x.blipdiff", {"project.json": _ABOUT.encode(), "jobs/1.json": json.dumps(told).encode()})
    with pytest.raises(ConfigError, match="names a file"), opened_project(path):
        pass


def test_a_file_that_is_no_zip_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.blipdiff").write_bytes(b"PK\x03\x04 no zip at all")
    with pytest.raises(ConfigError, match="is no project file"), opened_project(tmp_path / "x.blipdiff"):
        pass
