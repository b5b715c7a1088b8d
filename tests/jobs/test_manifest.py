"""Long batches: manifests read as streams, what is done known without opening a photo, chunks, and their logs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.jobs import batch_chunks
from app.jobs import manifest as reading
from app.jobs.batch import JOURNAL, Journal
from app.jobs.batch_chunks import Chunk, chunks
from app.jobs.batch_index import UNFINISHED, Index, Log, held
from app.jobs.batch_lines import Reader, check_manifest, read_lines
from app.jobs.manifest import Manifest, Stamps
from blipdiff.errors import ConfigError, MissingDependencyError
from pipelines.subject_library import SubjectLibrary
from tests.support.tiny_models import photo

LINE = {"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3, "subject": "dog.png"}


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    yield
    reading._stamp.cache_clear()


def written(folder: Path, *lines: Any) -> Manifest:
    (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Manifest(folder / "jobs.jsonl")


def handed(manifest: Manifest, done: Any = (), *, together: bool = False, workers: int = 1) -> list[Chunk]:
    folder = manifest.path.parent
    stamps = Stamps(folder, SubjectLibrary(folder / "subjects"), "generate")
    marks = np.sort(np.array(list(done), np.uint64))
    return list(chunks(manifest, stamps, marks, together=together, workers=workers))


def marks_of(found: list[Chunk]) -> list[int]:
    return [row.mark for chunk in found for row in chunk.rows]


def test_a_parquet_file_is_a_batch(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    photo().save(tmp_path / "dog.png")
    rows = [LINE | {"seed": seed, "negative": None if seed else "blue"} for seed in range(3)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "jobs.parquet", row_group_size=2)
    found = read_lines(tmp_path / "jobs.parquet", tmp_path)
    assert [(line.number, line.trouble) for line in found] == [(1, ""), (2, ""), (3, "")]
    assert [(line.job.request.seed, line.job.request.negative) for line in found if line.job is not None] == [
        (0, "blue"), (1, ""), (2, ""),
    ]  # fmt: skip
    parquet.write_table(pyarrow.table({"prompt": ["a"], "colour": ["red"]}), tmp_path / "odd.parquet")
    with pytest.raises(ConfigError, match="columns that generate does not know: colour"):
        check_manifest(Manifest(tmp_path / "odd.parquet"))
    parquet.write_table(pyarrow.table({"subject": [b"PNG"]}), tmp_path / "bytes.parquet")
    with pytest.raises(ConfigError, match="hold bytes or objects"):
        check_manifest(Manifest(tmp_path / "bytes.parquet"))
    whole = (tmp_path / "jobs.parquet").read_bytes()
    (tmp_path / "jobs.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"jobs\.parquet is damaged, or it is not a parquet file"):
        check_manifest(Manifest(tmp_path / "jobs.parquet"))


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"blipdiff\[ray\]"):
        list(Manifest(tmp_path / "jobs.parquet").rows())


def test_a_table_may_hold_lines_within_a_cell(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text('prompt,seed\n"on a\nbeach",3\nin the snow,4\n')
    assert list(Manifest(tmp_path / "jobs.csv").rows()) == [
        (2, {"prompt": "on a\nbeach", "seed": "3"}),
        (3, {"prompt": "in the snow", "seed": "4"}),
    ]


def test_a_photo_that_changed_and_a_line_that_stands_there_twice_are_other_rows(tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    manifest = written(tmp_path, LINE, LINE, LINE | {"subject": "dog=dog.png"})
    first = handed(manifest)
    marks = marks_of(first)
    assert len(set(marks)) == 3
    assert [row.times for chunk in first for row in chunk.rows] == [1, 2, 1]
    left = handed(manifest, marks[:1])
    assert marks_of(left) == marks[1:]
    assert (left[-1].lines, left[-1].known, left[-1].rows) == (3, 1, ())
    reading._stamp.cache_clear()
    os.utime(tmp_path / "dog.png", ns=(1, 1))
    assert not set(marks_of(handed(manifest))) & set(marks)


def test_rows_of_one_shape_are_gathered_and_none_is_lost(tmp_path: Path) -> None:
    lines = [LINE | {"seed": seed, "steps": 3 + seed % 3} for seed in range(50)]
    found = handed(written(tmp_path, *lines), together=True, workers=2)
    assert sorted(row.number for chunk in found for row in chunk.rows) == list(range(1, 51))
    whole = [chunk for chunk in found if len(chunk.rows) == 6]
    assert len(whole) >= 6
    assert sum(len({row.told["steps"] for row in chunk.rows}) == 1 for chunk in whole) >= 6
    assert max(len(chunk.rows) for chunk in handed(written(tmp_path, *lines * 40))) == 32


def test_a_very_long_manifest_has_larger_chunks_instead_of_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo().save(tmp_path / "dog.png")
    manifest = written(tmp_path, *(LINE | {"seed": seed} for seed in range(330)))
    assert [len(chunk.rows) for chunk in handed(manifest)] == [32] * 10 + [10, 0]
    monkeypatch.setattr(batch_chunks, "_MANY", 5)
    found = handed(manifest)
    assert [len(chunk.rows) for chunk in found] == [66] * 5 + [0]
    assert [chunk.is_last for chunk in found] == [False] * 5 + [True]
    monkeypatch.setattr(batch_chunks, "_LARGEST", 40)
    assert [len(chunk.rows) for chunk in handed(manifest)] == [40] * 8 + [10, 0]


def test_what_killed_runs_had_done_comes_into_the_journal_once(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    done = {"line": 1, "state": "done", "files": ["1.png"], "key": "ab" * 32 + "-1", "mark": f"{7:016x}"}
    with held(tmp_path) as work:
        log = Log.opened(work / "1")
        log.begin([1, 2])
        log.end(done)
        (work / "1" / "log.jsonl").open("a").write('{"line": 2, "state": "do')
        assert Log.opened(work / "1").begun == {1: 1, 2: 1}
        with pytest.raises(ConfigError, match="Another command draws a batch"), held(tmp_path):
            pass
    Journal(tmp_path / JOURNAL).write({"line": 3, "state": "done", "files": ["gone.png"], "key": "c", "mark": "9"})
    with held(tmp_path) as work:
        Log.opened(work / "1").end(done)
    told = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert [one["line"] for one in told] == [1, 3]
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["lock"]
    index = Index.read(tmp_path)
    assert index.marks.tolist() == [7]
    assert index.keys.tolist() == [int("ab" * 8, 16)]


def test_a_key_is_the_same_however_a_line_is_drawn(tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    manifest = written(tmp_path, LINE, LINE)
    reader = Reader(tmp_path, SubjectLibrary(tmp_path), "generate")
    (chunk, _) = handed(manifest, together=True)
    keys = [f"{reader.line(row.number, row.told).key}-{row.times}" for row in chunk.rows]
    assert keys == [line.key for line in read_lines(manifest.path, tmp_path)]
