"""Whole or not at all."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from blipdiff import outputs
from blipdiff.errors import OutputError
from blipdiff.filenames import file_stem, paths_now, short_name
from blipdiff.outputs import clear_leftovers, write_new, written_file, written_folder
from tests.support.command_line import at_call


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_file(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_file_takes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with written_file(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), written_folder(folder) as part:
        (part / "a").write_text("half")
        raise KeyboardInterrupt
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_finished_folder_takes_the_place_of_an_earlier_copy(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with written_folder(tmp_path / "model") as part:
            (part / "a").write_text(text)
    assert (tmp_path / "model" / "a").read_text() == "second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", Path("/proc/blipdiff/a.txt"), tmp_path / ("x" * 300) / "a.txt"):
        with pytest.raises(OutputError, match="cannot be written"), written_file(path):
            pytest.fail("nothing should be written")
        with pytest.raises(OutputError, match="cannot be written"), written_folder(path):
            pytest.fail("nothing should be written")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"), written_file(tmp_path / "a.txt"):
        Path("/dev/full").write_text("x" * 10_000)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_where_it_shall_not_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="in the way"), written_file(path, replace=False) as part:
        part.write_text("new")
        path.write_text("made meanwhile")
    assert path.read_text() == "made meanwhile"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_within_another_is_told_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        with written_file(part) as inner:
            assert inner == part
            Path("/dev/full").write_text("x" * 10_000)

    with pytest.raises(OutputError, match=r"test_\S+/a\.txt cannot be written: the disk is full") as caught:
        write_new(tmp_path, "a", ".txt", write)
    assert ".blipdiff-" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lacking", ["nothing", "renaming in one step", "links"])
def test_many_writers_of_one_name_get_a_name_each(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacking != "nothing":
        monkeypatch.setattr(outputs, "_renameat2", lambda: None)
    if lacking == "links":
        monkeypatch.setattr(os, "link", no_links)
    together = Barrier(8)

    def write(number: int) -> Path:
        def content(part: Path) -> None:
            part.write_text(str(number))
            together.wait()

        return write_new(tmp_path, "a dog", ".txt", content)

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(write, range(8)))
    assert [path.read_text() for path in paths] == [str(number) for number in range(8)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a-dog.txt", *(f"a-dog-{number}.txt" for number in range(2, 9))]
    )


def no_links(old: object, new: object) -> None:
    raise PermissionError(errno.EPERM, "no links here")


def abandoned(write: Callable[[], object]) -> None:
    """`write` in a process of its own, which is killed by it or ends without another word."""
    child = os.fork()
    if not child:
        try:
            write()
        finally:
            os._exit(1)
    os.waitpid(child, 0)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_left_is_cleared_by_the_next_and_never_by_a_living_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with written_file(path) as part:
        part.write_text("slow")
        abandoned(lambda: write_new(tmp_path, "b", ".txt", die))
        assert len(list(tmp_path.iterdir())) == 2
        assert write_new(tmp_path, "b", ".txt", lambda part: part.write_text("next")).name == "b.txt"
        assert len(list(tmp_path.iterdir())) == 2, "this writer's own place and the next one's file"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    assert path.read_text() == "slow"


def test_a_folder_is_there_at_every_moment_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"

    def write(text: str) -> None:
        with written_folder(folder) as part:
            (part / "a").write_text(text)

    write("old")
    monkeypatch.setattr(shutil, "rmtree", die)
    abandoned(lambda: write("new"))
    assert (folder / "a").read_text() == "new"
    monkeypatch.undo()
    write("newer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_a_killed_writer_had_set_aside_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"

    folder.mkdir()
    (folder / "a").write_text("old")

    def set_aside() -> None:
        monkeypatch.setattr(outputs, "_renameat2", lambda: None)
        with at_call("pathlib.py", "replace", 2, die), written_folder(folder) as part:
            (part / "a").write_text("new")

    abandoned(set_aside)
    assert not folder.exists()
    clear_leftovers(tmp_path)
    assert (folder / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_things_below_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "model" / "unet" / "mine.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with (
        pytest.raises(OutputError, match=r"holds other things \(unet/mine.safetensors\)"),
        written_folder(tmp_path / "model") as part,
    ):
        (part / "unet").mkdir()
        (part / "unet" / "config.json").touch()
    assert mine.read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a dog/on ../a beach", "a-dog-on-..-a-beach"),
        ("...", "picture"),
        ("हिन्दी कुत्ता", "हिन्दी-कुत्ता"),
        ("cafe\u0301", "café"),
        ("🐕 dog", "dog"),
        ("nul", "nul_"),
        ("a\udcff b", "a-b"),
    ],
)
def test_a_text_becomes_a_name_in_any_script(text: str, name: str) -> None:
    assert file_stem(text) == name


@pytest.mark.parametrize("letter", ["x", "é", "犬", "𠀋"])
def test_long_names_fit_by_their_bytes(letter: str, tmp_path: Path) -> None:
    for _ in range(2):
        path = write_new(tmp_path, letter * 1000, ".safetensors", lambda part: part.write_text("whole"))
        assert path.read_text() == "whole"
    assert len(short_name(letter * 1000).encode()) <= 80


def test_a_folder_that_goes_while_it_is_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("going", "staying"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.png").touch()
    scanned = os.scandir

    def scandir(path: object = ".") -> object:
        if isinstance(path, str) and "going" in path:
            shutil.rmtree(tmp_path / "going", ignore_errors=True)
        return scanned(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    assert paths_now(tmp_path, "*/*.png") == [tmp_path / "staying" / "one.png"]
    assert not (tmp_path / "going").exists()
