"""Batches: files of jobs, drawn once however often they are called, with what failed told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.batch import add_to
from app.jobs.batch import JOURNAL, _content, groups, read_lines
from blipdiff.errors import ConfigError
from tests.support.studios import drawn
from tests.support.tiny_models import photo
from tests.support.workshops import tiny_studio

LINE = {"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3, "subject": "dog.png"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    photo().save(tmp_path / "dog.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.cli.runs.drawing.opened", lambda *_given, **_more: tiny_studio())
    return tmp_path


def jobs(folder: Path, *lines: Any) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def called(*options: str) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_to(app)
    return CliRunner().invoke(app, ["batch", *options])


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / JOURNAL).read_text().splitlines()]


def test_each_line_is_drawn_once_and_what_failed_is_tried_again(folder: Path) -> None:
    path = jobs(folder, LINE | {"seed": 5}, "not json", LINE | {"steps": -1}, LINE | {"seed": 6, "name": "last one"})
    first = called(str(path), "--output", "out")
    assert first.exit_code == 1
    assert "2 of 4 lines failed" in first.output
    assert "line 3: Steps is -1" in first.output
    lines = told(folder)
    assert sorted((one["line"], one["state"]) for one in lines) == [
        (1, "done"), (2, "failed"), (3, "failed"), (4, "done"),
    ]  # fmt: skip
    done = [one for one in lines if one["state"] == "done"]
    assert done[1]["files"] == ["00004-000-last-one.png"]
    picture = np.asarray(Image.open(folder / "out" / done[0]["files"][0])).astype(int)
    assert np.array_equal(picture, drawn(tiny_studio(), seed=5)[0])
    again = called(str(path), "--output", "out")
    assert "2 of 4 lines are done already" in again.output
    assert len(told(folder)) == 6


def test_a_file_that_changed_is_drawn_again_and_a_lost_picture_too(folder: Path) -> None:
    path = jobs(folder, LINE, LINE)
    assert called(str(path), "--output", "out").exit_code == 0
    assert len(list((folder / "out").glob("*.png"))) == 2
    photo(3).save(folder / "dog.png")
    _content.cache_clear()
    called(str(path), "--output", "out")
    assert len(told(folder)) == 4
    (folder / "out" / told(folder)[-1]["files"][0]).unlink()
    called(str(path), "--output", "out")
    assert len(told(folder)) == 5


def test_a_line_that_was_half_written_is_drawn_again(folder: Path) -> None:
    path = jobs(folder, LINE)
    called(str(path), "--output", "out")
    journal = folder / "out" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    assert called(str(path), "--output", "out").exit_code == 0
    assert json.loads(journal.read_text().splitlines()[-1])["state"] == "done"
    assert len(list((folder / "out").glob("*.png"))) == 1


def test_a_table_is_a_batch_too(folder: Path) -> None:
    photo(1).save(folder / "cat.png")
    path = folder / "jobs.csv"
    path.write_text(
        "task,category,prompt,steps,count,subject,frames,spacing\n"
        "generate,dog,on a beach,3,1,dog.png,,\n"
        "blend,,in the snow,2,,dog=dog.png;cat=cat.png,3,even\n"
    )
    assert called(str(path), "--output", "out").exit_code == 0, told(folder)
    assert [len(one["files"]) for one in told(folder)] == [1, 5]


def test_lines_that_differ_by_their_seeds_alone_can_be_drawn_together(folder: Path) -> None:
    path = jobs(folder, *(LINE | {"seed": seed} for seed in (3, 4, 5, 9)), LINE | {"seed": 10, "prompt": "x"})
    lines = read_lines(path, folder / "subjects")
    assert [len(one.lines) for one in groups(lines, together=True)] == [3, 1, 1]
    assert [len(one.lines) for one in groups(lines, together=False)] == [1] * 5
    assert called(str(path), "--output", "out", "--together").exit_code == 0
    for line in told(folder)[:3]:
        name = line["files"][0]
        assert len(line["files"]) == 1
        assert name.endswith(f"-dog-{2 + line['line']}.png"), line


def test_a_file_that_is_no_batch_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="neither"):
        read_lines(folder / "dog.png", folder)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(folder / "no.jsonl", folder)
