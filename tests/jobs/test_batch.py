"""Batches: files of jobs, drawn once however often they are called, with what failed told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.batch import add_to
from app.jobs.batch import JOURNAL, groups
from app.jobs.batch_lines import _content, read_lines
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.metadata import read_metadata, repeat
from pipelines.task import Result
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


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "out" / name)).astype(int)


def test_lines_of_other_words_subjects_and_seeds_are_rows_of_one_batch(folder: Path) -> None:
    photo(1).save(folder / "cat.png")
    other = {"category": "cat", "prompt": "in the snow", "negative": "blue", "subject": "cat.png", "seed": 9}
    lines = [LINE, LINE | {"steps": 4}, LINE | other, LINE | {"count": 2}, LINE | {"seed": 4}, LINE | {"detail": 0.5}]
    path = jobs(folder, *lines)
    read = read_lines(path, folder / "subjects")
    assert [[one.number for one in group.lines] for group in groups(read, together=True)] == [[1, 3, 5], [2], [4], [6]]
    assert [len(one.lines) for one in groups(read, together=False)] == [1] * 6
    jobs(folder, *lines[:5])
    assert called(str(path), "--output", "out", "--together").exit_code == 0
    found = {one["line"]: one for one in told(folder)}
    assert [one for one, line in sorted(found.items()) if line.get("together") == 3] == [1, 3, 5]
    for number in (1, 3, 5):
        (name,) = found[number]["files"]
        request = GenerateRequest(**{key: value for key, value in lines[number - 1].items() if key != "subject"})
        subject = folder / str(lines[number - 1]["subject"])
        alone = [one for one in run(tiny_studio(), Job.of(request, subject=subject)) if isinstance(one, Result)]
        assert abs(pixels(folder, name) - np.asarray(alone[0].picture.image).astype(int)).max() <= 1
        again = [one for one in run(tiny_studio(), repeat(folder / "out" / name)) if isinstance(one, Result)]
        assert np.array_equal(np.asarray(again[0].picture.image).astype(int), pixels(folder, name))
        assert again[0].picture.job == read_metadata(folder / "out" / name)["job"]


def test_a_line_that_cannot_be_drawn_spoils_nothing_for_its_batch(folder: Path) -> None:
    SubjectEmbedding(torch.zeros(3, 5), "dog").save(folder / "odd.safetensors")
    path = jobs(folder, LINE, LINE | {"subject": "odd.safetensors"}, LINE | {"seed": 7})
    result = called(str(path), "--output", "out", "--together")
    assert result.exit_code == 1, result.exception
    assert sorted((one["line"], one["state"]) for one in told(folder)) == [(1, "done"), (2, "failed"), (3, "done")]
    assert len(told(folder)) == 3


def test_metadata_of_a_row_that_cannot_be_are_refused(folder: Path) -> None:
    made = Job.of(GenerateRequest(category="dog", count=1, steps=2), subject=folder / "dog.png")
    for rows, row in ((4, 4), (65, 0), (True, 0), ("4", 1), (4, None), (4, -1)):
        damaged = replace(made, index=0, detail={"rows": rows, "row": row})
        with pytest.raises(ConfigError, match="damaged"):
            list(run(tiny_studio(), damaged))


def test_structures_that_differ_by_consecutive_seeds_are_one_job(folder: Path) -> None:
    line = {"task": "stylize", "category": "dog", "count": 1, "subject": "dog.png", "structure": "dog.png"}
    path = jobs(folder, *(line | {"seed": seed} for seed in (3, 4, 5, 9)))
    assert [len(one.lines) for one in groups(read_lines(path, folder), together=True)] == [3, 1]


def test_half_a_letter_in_one_line_spoils_that_line_alone(folder: Path) -> None:
    told = {"subject": "dog.png", "category": "dog", "prompt": "on a beach"}
    lines = [told, told | {"name": "\ud800"}, told | {"speed": "\ud800"}]
    (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read_lines(folder / "jobs.jsonl", folder)
    assert [line.job is not None for line in found] == [True, False, False]
    assert all("half of a letter" in line.trouble for line in found[1:])
    assert len({line.key for line in found}) == 3


def test_a_file_that_is_no_batch_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is none of"):
        read_lines(folder / "dog.png", folder)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(folder / "no.jsonl", folder)


def test_a_list_of_prompts_is_drawn_with_one_subject(folder: Path) -> None:
    (folder / "lists").mkdir()
    (folder / "lists" / "prompts.txt").write_text("\ufeffon a beach\n\n  in the snow \n", encoding="utf-8")
    options = ("lists/prompts.txt", "--output", "out", "--category", "dog", "--set", "steps=3", "--set", "count=1")
    ended = called(*options, "--subject", "dog.png")
    assert ended.exit_code == 0, ended.output
    assert [(one["line"], one["state"]) for one in told(folder)] == [(1, "done"), (3, "done")]
    pictures = [folder / "out" / name for one in told(folder) for name in one["files"]]
    assert [read_metadata(path)["job"]["request"]["prompt"] for path in pictures] == ["on a beach", "in the snow"]
    assert np.array_equal(np.asarray(Image.open(pictures[1])), drawn(tiny_studio(), prompt="in the snow")[0])
    assert "2 of 2 lines are done already" in called(*options, "--subject", "dog.png").output
    called(*options, "--subject", "dog.png", "--set", "seed=4")
    assert len(told(folder)) == 4, "another seed is another picture"


def test_what_holds_for_all_lines_gives_way_to_what_a_line_says(folder: Path) -> None:
    path = jobs(folder, LINE | {"steps": 2}, {"prompt": "in the snow"})
    shared = {"category": "cat", "steps": "3", "subject": [str(folder / "dog.png")]}
    first, second = (line.job for line in read_lines(path, folder, shared=shared))
    assert first is not None and second is not None
    assert (first.request.category, first.request.steps) == ("dog", 2)
    assert (second.request.category, second.request.steps) == ("cat", 3)
    with pytest.raises(ConfigError, match="write it as NAME=VALUE"):
        raise called(str(path), "--output", "out", "--set", "steps").exception
    with pytest.raises(ConfigError, match="remove-background takes no prompt, so a list of them"):
        read_lines(path.rename(path.with_suffix(".txt")), folder, "remove-background")
