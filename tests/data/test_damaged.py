"""Damaged shards and libraries: one sentence that names the file, whatever the library that reads it raises."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import nn

from blipdiff.data import PairLibrary
from blipdiff.data.drawn.sources import read_drawings
from blipdiff.data.drawn.subjects import fitted_subject
from blipdiff.data.shard_library import ShardLibrary
from blipdiff.data.shards import Sample, read_shard, write_shard
from blipdiff.errors import BlipdiffError, CheckpointError, ConfigError
from blipdiff.training.config import read_table
from blipdiff.training.state import RunFolder, average_weights

SIDE = 16


def encoded(suffix: str, shape: tuple[int, ...]) -> bytes:
    return bytes(cv2.imencode(suffix, np.full(shape, 90, np.uint8))[1])


def shard_with(path: Path, **changed: bytes) -> None:
    """A shard of one sample in which the parts of these names (`_` for a dot) hold other bytes."""
    sample = Sample("0", *(np.zeros((SIDE, SIDE, *last), np.uint8) for last in ((3,), (4,), ())), "dog", ("a dog",), "")
    write_shard(path, [sample])
    with tarfile.open(path) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    files |= {f"0.{name.replace('_', '.')}": content for name, content in changed.items()}
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    "changed",
    [
        {"jpg": b""},
        {"jpg": b"no picture"},
        {"jpg": encoded(".jpg", (SIDE, SIDE + 4, 3))},
        {"subject_png": encoded(".png", (SIDE, SIDE, 3))},
        {"subject_png": encoded(".png", (SIDE, SIDE))},
        {"mask_png": b"\x89PNG\r\n\x1a\n"},
        {"json": b""},
        {"json": b"\xff\xfe"},
        {"json": b"[" * 100_000},
        {"json": b"[]"},
        {"json": b"{}"},
        {"json": b'{"category": 7, "captions": []}'},
        {"json": b'{"category": "dog", "captions": [7]}'},
        {"json": b'{"category": "dog", "captions": 7}'},
    ],
    ids=lambda changed: f"{next(iter(changed))}-{next(iter(changed.values()))[:12].hex()}",
)
def test_a_damaged_part_of_a_shard_is_named(changed: dict[str, bytes], tmp_path: Path) -> None:
    shard_with(tmp_path / "a.tar", **changed)
    (part,) = changed
    with pytest.raises(ConfigError, match=rf"{part.replace('_', '.')} of sample 0 in {tmp_path}/a\.tar"):
        list(read_shard(tmp_path / "a.tar"))
    library = ShardLibrary(tmp_path, photo_side=SIDE, picture_side=SIDE)
    with pytest.raises(ConfigError, match=r"a\.tar"):
        library.categories() if part == "json" else library.draw(0, 0)


@pytest.mark.parametrize("length", [0, 100, 700, 1400, 2100])
def test_a_shard_that_is_cut_off_is_named(length: int, tmp_path: Path) -> None:
    shard_with(tmp_path / "a.tar")
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[:length])
    with pytest.raises(ConfigError, match=r"a\.tar"):
        list(read_shard(tmp_path / "a.tar"))


def test_a_shard_that_is_lost_or_cut_while_it_is_used_is_named(tmp_path: Path) -> None:
    shard_with(tmp_path / "a.tar")
    library = ShardLibrary(tmp_path, photo_side=SIDE, picture_side=SIDE)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"a\.tar"):
        library.draw(0, 0)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(ConfigError, match=r"a\.tar"):
        library.draw(0, 0)
    with pytest.raises(ConfigError, match=r"a\.tar"):
        library.categories()


def test_a_record_that_is_no_json_does_not_hide_that_a_shard_is_lost(tmp_path: Path) -> None:
    (tmp_path / "subjects-000000.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"lacks subjects-000000\.tar"):
        ShardLibrary(tmp_path, photo_side=SIDE, picture_side=SIDE)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two subjects and a scene."""
    folder = tmp_path_factory.mktemp("library")
    np.save(folder / "subjects.npy", np.zeros((2, SIDE, SIDE, 4), np.uint8))
    np.save(folder / "scenes.npy", np.zeros((1, SIDE, SIDE, 3), np.uint8))
    subject = {"name": "dog", "category": "dog", "source": "noto", "concept": "dog", "held_out": False}
    scene = {"scene": "sand", "wordings": ["on sand"], "colourless": [], "floor": None, "casts_shadow": True}
    (folder / "subjects.json").write_text(json.dumps([subject, subject]))
    (folder / "scenes.json").write_text(json.dumps([scene | {"weight": 1}]))
    PairLibrary(folder)
    return folder


def array(*shape: int, kind: type = np.uint8) -> Callable[[bytes], bytes]:
    def made(_: bytes) -> bytes:
        stream = io.BytesIO()
        np.save(stream, np.zeros(shape, kind))
        return stream.getvalue()

    return made


def several(_: bytes) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("subjects.npy", lambda _: b""),
        ("subjects.npy", lambda whole: whole[:50]),
        ("subjects.npy", lambda whole: whole[:500]),
        ("subjects.npy", lambda whole: whole.replace(b"'descr'", b"'de((r'")),
        ("subjects.npy", lambda _: b"PK\x03\x04 no archive"),
        ("subjects.npy", several),
        ("subjects.npy", array(2)),
        ("subjects.npy", array(2, SIDE, SIDE, 3)),
        ("scenes.npy", array(1, SIDE, SIDE + 1, 3)),
        ("scenes.npy", array(1, SIDE, SIDE, 3, kind=np.float32)),
        ("scenes.npy", array(1, SIDE * 2, SIDE * 2, 3)),
        ("subjects.json", lambda _: b"[" * 100_000),
        ("subjects.json", lambda _: b"\xff"),
        ("subjects.json", lambda _: b"{}"),
        ("subjects.json", lambda _: b"[3, 3]"),
        ("subjects.json", lambda whole: whole.replace(b'"name"', b'"nam"')),
        ("subjects.json", lambda whole: whole.replace(b'"dog"', b"7")),
        ("scenes.json", lambda whole: whole.replace(b'["on sand"]', b"7")),
        ("scenes.json", lambda whole: whole.replace(b'["on sand"]', b"[7]")),
        ("scenes.json", lambda whole: whole.replace(b'"colourless"', b'"colour"')),
    ],
)
def test_a_damaged_library_is_named(name: str, damage: Callable[[bytes], bytes], stored: Path, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    shutil.copytree(stored, folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ConfigError, match=str(folder)):
        PairLibrary(folder)


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    for content in (b"a = " + b"[" * 100_000, b"a = ", b"\xff"):
        recipe.write_bytes(content)
        with pytest.raises(ConfigError, match=str(recipe)):
            read_table(recipe)


def test_a_damaged_training_state_is_named(tmp_path: Path) -> None:
    folder, net = RunFolder(tmp_path), nn.Linear(2, 2)
    for content in (b"", b"\xff" * 40):
        folder.state.write_bytes(content)
        with pytest.raises(CheckpointError, match=str(folder.state)):
            average_weights(folder, {"net": net})


def test_a_damaged_drawing_is_left_out_and_a_damaged_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "names" / "en").mkdir(parents=True)
    (tmp_path / "names" / "meta").mkdir()
    (tmp_path / "fluent").mkdir()
    dog = {"hexcode": "1F415", "label": "dog", "group": 3, "subgroup": 1}
    names = tmp_path / "names" / "en" / "data.json"
    names.write_text(json.dumps([dog]))
    (tmp_path / "names" / "meta" / "groups.json").write_text('{"subgroups": {"1": "animal-mammal"}}')
    (tmp_path / "fluent" / "1f415.webp").write_bytes(b"MM\0*" + bytes(6))
    (drawing,) = read_drawings(tmp_path)
    assert fitted_subject(drawing, SIDE) is None
    (tmp_path / "names" / "en" / "shortcodes").mkdir()
    for kind in ("emojibase", "github", "iamcal", "joypixels", "cldr"):
        (tmp_path / "names" / "en" / "shortcodes" / f"{kind}.json").write_text("{}")
    (tmp_path / "emojione").mkdir()
    icons = tmp_path / "emojione" / "icons.json"
    for damaged in ('{"icons": {"dog": {}}}', '{"icons": [1]}', "[]", '{"icons": {"dog": 3}, "width": "wide"}'):
        icons.write_text(damaged)
        with pytest.raises(BlipdiffError, match=r"icons\.json"):
            list(read_drawings(tmp_path))
    icons.write_text('{"icons": {"dog": {"body": "<g"}}}')
    assert [fitted_subject(one, SIDE) for one in read_drawings(tmp_path)] == [None, None]
    names.write_text("[" * 100_000)
    with pytest.raises(BlipdiffError, match=str(names)):
        list(read_drawings(tmp_path))
    names.unlink()
    with pytest.raises(BlipdiffError, match=r"names lacks en/data\.json"):
        list(read_drawings(tmp_path))
