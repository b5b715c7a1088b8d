"""Photos become shards: with small random networks, broken photos among them, stopped and started again."""

import json
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image, features
from safetensors.torch import load_file, save_file

from blipdiff.data.matting import load_segmenter
from blipdiff.data.shard_library import ShardLibrary
from blipdiff.data.shards import read_shard
from blipdiff.errors import CheckpointError, ConfigError, MissingDependencyError
from blipdiff.language.captioners import load_captioner, load_matcher
from pipelines.prepare_data import PrepareRequest, Tools, prepare_photos
from tests.support.command_line import Command, at_call
from tests.support.tiny_engines import save_blip_2

pytest_plugins = ["tests.support.command_fixtures"]
PHOTOS = 20
FIRST_SHARD = ["subjects-000000.json", "subjects-000000.tar"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos of two categories, captions beside one, and two files that are broken."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        place = folder / ("dog", "cat")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        Image.fromarray(small).resize((80, 64)).save(place / f"{number:02d}.png")
    (folder / "dog" / "00.txt").write_text("a dog on grass\n")
    (folder / "dog" / "04.png").write_bytes(b"no picture at all")
    whole = (folder / "cat" / "05.png").read_bytes()
    (folder / "cat" / "05.png").write_bytes(whole[: len(whole) // 2])
    return folder


def plain_matte(picture, trimap):
    return trimap / 255.0, picture / 255.0


@pytest.fixture(autouse=True)
def matte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.runs.data.closed_form_matte", plain_matte)  # the real one takes minutes


def test_a_folder_of_photos_becomes_shards_and_a_report(
    blipdiff: Command, tools: Path, photos: Path, tmp_path: Path
) -> None:
    command = ["data", "prepare", photos, "--output", tmp_path / "out", "--per-shard", 7, "--side", 48]
    command += ["--subject-side", 32, "--least-match", 0.0, "--captions", 3, "--device", "cpu"]
    for name in ("segmenter", "captioner", "matcher"):
        command += [f"--{name}", tools / name]
    ended = blipdiff(*command)
    assert ended.code == 0, ended.err
    out = tmp_path / "out"
    records = [json.loads(path.read_text()) for path in sorted(out.glob("subjects-*.json"))]
    assert [len(record["photos"]) for record in records] == [7, 7, 6]
    skipped = {one["photo"]: one["reason"] for record in records for one in record["skipped"]}
    assert {"dog/04.png", "cat/05.png"} <= set(skipped)
    assert str(tmp_path) not in " ".join(skipped.values())
    samples = [sample for path in sorted(out.glob("*.tar")) for sample in read_shard(path)]
    assert len(samples) == PHOTOS - len(skipped) >= 8
    assert {sample.category for sample in samples} == {"dog", "cat"}
    assert all(sample.picture.shape == (48, 48, 3) and sample.subject.shape == (32, 32, 4) for sample in samples)
    assert all(sample.captions for sample in samples)
    report = (out / "report.html").read_text()
    assert "dog/04.png" in report
    assert f"{len(samples)} of {PHOTOS} photos" in report
    assert "left out dog/04.png" in ended.out
    assert ShardLibrary(out, photo_side=32, picture_side=48).draw(3, 0).category in ("dog", "cat")

    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("subjects-*")}
    (out / "subjects-000001.tar").unlink()
    (out / "subjects-000001.json").unlink()
    assert blipdiff(*command).code == 0
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("subjects-*")}
    assert again.keys() == kept.keys()
    assert [name for name in kept if again[name] != kept[name]] == [n for n in kept if n.startswith("subjects-000001")]
    again_samples = [sample for path in sorted(out.glob("*.tar")) for sample in read_shard(path)]
    assert [sample.captions for sample in again_samples] == [sample.captions for sample in samples]

    ended = blipdiff(*command, "--seed", 1)
    assert (ended.code, "other settings" in ended.err) == (2, True)
    Image.new("RGB", (20, 20)).save(photos / "cat" / "new.png")
    ended = blipdiff(*command)
    assert (ended.code, "other photos" in ended.err) == (2, True)


def test_one_network_that_is_asked_captions_and_filters(
    blipdiff: Command, tools: Path, photos: Path, tmp_path: Path
) -> None:
    save_blip_2(tmp_path / "blip-2", "t5")
    command = ["data", "prepare", photos, "--output", tmp_path / "out", "--side", 48, "--subject-side", 32]
    command += ["--least-match", 0.0, "--captions", 2, "--device", "cpu", "--segmenter", tools / "segmenter"]
    ended = blipdiff(*command, "--captioner", tmp_path / "blip-2", "--matcher", tmp_path / "blip-2")
    assert ended.code == 0, ended.err
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("subjects-*.json")]
    assert record["samples"] == PHOTOS - 2
    assert record["refused"] == 0


class Half:
    """Finds the left half of every photo."""

    def chances(self, photo, category):
        found = np.zeros(photo.size[::-1], np.float32)
        found[:, : photo.width // 2] = 1
        return found


def test_a_missing_package_ends_the_work_and_is_not_recorded(photos: Path, tmp_path: Path) -> None:
    def lacking(picture, trimap):
        raise MissingDependencyError("Matting needs pymatting.")

    request = PrepareRequest(side=48, subject_side=32)
    with pytest.raises(MissingDependencyError):
        list(prepare_photos(photos, tmp_path / "out", Tools(Half(), lacking), request))
    *_, state = prepare_photos(photos, tmp_path / "out", Tools(Half(), plain_matte), request)
    assert (state.samples, len(state.skipped)) == (PHOTOS - 2, 2)


def test_ctrl_c_is_one_line_and_keeps_the_shards_that_are_whole(
    blipdiff: Command, tools: Path, photos: Path, tmp_path: Path
) -> None:
    command = ["data", "prepare", photos, "--output", tmp_path / "out", "--per-shard", 7, "--side", 48]
    command += ["--subject-side", 32, "--least-match", 0.0, "--captions", 1, "--device", "cpu"]
    for name in ("segmenter", "captioner", "matcher"):
        command += [f"--{name}", tools / name]
    with at_call("data/shards.py", "write_shard", 2, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff(*command)
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "blipdiff: Stopped; what was finished is kept."
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in (tmp_path / "out").glob("subjects-*")) == FIRST_SHARD
    kept = (tmp_path / "out" / FIRST_SHARD[1]).stat().st_mtime_ns
    assert blipdiff(*command).code == 0
    assert (tmp_path / "out" / FIRST_SHARD[1]).stat().st_mtime_ns == kept


@pytest.mark.parametrize(("suffix", "says"), [(".heic", r"blipdiff\[heif\]"), (".avif", "pillow>=")])
def test_a_picture_without_its_reader_ends_the_work_with_the_command_that_installs_it(
    suffix: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "photos" / "dog", tmp_path / "out"
    folder.mkdir(parents=True)
    Image.new("RGB", (80, 64), "red").save(folder / "a.png")
    red = Image.new("RGB", (80, 64), "red")
    held = pillow_heif.from_pillow(red) if suffix == ".heic" else red
    held.save(folder / f"b{suffix}")
    tools, request = Tools(Half(), plain_matte), PrepareRequest(side=48, subject_side=32, per_shard=1)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        without.setattr(features, "check", lambda name: False)
        with pytest.raises(MissingDependencyError, match=says):
            list(prepare_photos(tmp_path / "photos", out, tools, request))
    assert sorted(path.name for path in out.glob("subjects-*")) == ["subjects-000000.json", "subjects-000000.tar"]
    *_, state = prepare_photos(tmp_path / "photos", out, tools, request)
    assert (state.samples, state.skipped) == (2, [])


def test_a_folder_as_people_have_them_loses_nothing_silently(tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "dog"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    picture = Image.new("RGB", (80, 64), "red")
    for name in ("IMG_1.JPG", "IMG_2.png", "IMG_3.png", "IMG_4.gif", ".ipynb_checkpoints/IMG_1-checkpoint.jpg"):
        picture.save(folder / name)
    texts = {
        "IMG_1.txt": b"\xef\xbb\xbfa coloured dog\r\nanother line\r\n",
        "IMG_2.TXT": "a dog on gras\u015b".encode("utf-16"),
        "IMG_3.txt": b"a dog\x92s toy",
        "IMG_4.txt": "a dog on a mat".encode("utf-16-le"),
        "alone.txt": b"a cat",
        "Thumbs.db": b"\xd0\xcf",
        "._IMG_1.jpg": b"Mac OS X",
        ".DS_Store": b"Bud1",
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    request = PrepareRequest(side=48, subject_side=32)
    *_, state = prepare_photos(tmp_path / "photos", tmp_path / "out", Tools(Half(), plain_matte), request)
    samples = list(read_shard(tmp_path / "out" / "subjects-000000.tar"))
    assert [(sample.source, sample.captions) for sample in samples] == [
        ("dog/IMG_1.JPG", ("a coloured dog", "another line")),
        ("dog/IMG_2.png", ("a dog on gras\u015b",)),
        ("dog/IMG_3.png", ("a dog\u2019s toy",)),
        ("dog/IMG_4.gif", ("a dog on a mat",)),
    ]
    assert (state.photos, state.skipped) == (4, [])
    assert [one.photo for one in state.others] == ["dog/Thumbs.db", "dog/alone.txt"]
    assert "Thumbs.db" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("damage", ["lost", "cut", "changed", "record"])
def test_a_shard_that_does_not_agree_with_its_record_is_made_again(damage: str, photos: Path, tmp_path: Path) -> None:
    tools, request, out = Tools(Half(), plain_matte), PrepareRequest(side=48, subject_side=32), tmp_path / "out"
    list(prepare_photos(photos, out, tools, request))
    shard, record = out / "subjects-000000.tar", out / "subjects-000000.json"
    whole, told = shard.read_bytes(), record.read_bytes()
    if damage == "lost":
        shard.unlink()
        with pytest.raises(ConfigError, match=r"lacks subjects-000000\.tar"):
            ShardLibrary(out, photo_side=32, picture_side=48)
    elif damage == "record":
        record.write_bytes(told[: len(told) // 2])
    else:
        shard.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:5000] + b"x" + whole[5001:])
    list(prepare_photos(photos, out, tools, request))
    assert (shard.read_bytes(), record.read_bytes()) == (whole, told)
    kept = shard.stat().st_mtime_ns
    list(prepare_photos(photos, out, tools, request))
    assert shard.stat().st_mtime_ns == kept, "what agrees is not made again"


def test_photos_that_were_exchanged_are_prepared_again(tmp_path: Path) -> None:
    folder = tmp_path / "dog"
    folder.mkdir()
    tools, request = Tools(Half(), plain_matte), PrepareRequest(side=48, subject_side=32, per_shard=1)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (80, 64), "red").save(folder / name)
    list(prepare_photos(folder, tmp_path / "out", tools, request))
    Image.new("RGB", (90, 64), "blue").save(folder / "b.png")
    list(prepare_photos(folder, tmp_path / "out", tools, request))
    (sample,) = read_shard(tmp_path / "out" / "subjects-000001.tar")
    assert sample.picture[0, 0, 2] > 200
    (folder / "b.png").unlink()
    with pytest.raises(ConfigError, match="other photos"):
        list(prepare_photos(folder, tmp_path / "out", tools, request))


def without_one(stored):
    del stored[next(iter(stored))]


def with_one_reshaped(stored):
    stored[next(iter(stored))] = torch.zeros(3, 5, 7)


@pytest.mark.parametrize(
    ("change", "says"),
    [(without_one, "1 missing: "), (with_one_reshaped, r"\[3, 5, 7\]")],
)
@pytest.mark.parametrize(
    ("load", "name"), [(load_segmenter, "segmenter"), (load_captioner, "captioner"), (load_matcher, "matcher")]
)
def test_a_network_whose_weights_do_not_fit_is_refused_by_their_names(
    load, name: str, change, says: str, tools: Path, tmp_path: Path
) -> None:
    shutil.copytree(tools / name, tmp_path / name)
    path = tmp_path / name / "model.safetensors"
    stored = load_file(path)
    first = next(iter(stored))
    change(stored)
    save_file(stored, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=says) as caught:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert first in str(caught.value)


def test_a_tensor_of_another_version_in_a_networks_file_does_no_harm(tools: Path, tmp_path: Path) -> None:
    shutil.copytree(tools / "segmenter", tmp_path / "segmenter")
    path = tmp_path / "segmenter" / "model.safetensors"
    save_file(load_file(path) | {"text_model.embeddings.position_ids": torch.zeros(2)}, path, {"format": "pt"})
    assert load_segmenter(tmp_path / "segmenter")


def test_what_is_not_there_is_said(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="BLIP captioner"):
        load_captioner(tmp_path)
    nothing = Tools(load_segmenter(tools / "segmenter"), plain_matte)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no photo"):
        list(prepare_photos(tmp_path / "empty", tmp_path / "out", nothing, PrepareRequest()))
