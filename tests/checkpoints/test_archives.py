"""Archives: whatever is damaged, cut off or reaches outside is refused, and nothing is written elsewhere."""

import contextlib
import gzip
import io
import random
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from blipdiff.checkpoints import archives, load_model
from blipdiff.checkpoints.archives import unpack
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion

FILES = {"model/a.txt": b"first" * 300, "model/b.bin": bytes(range(256)) * 40, "model/c.txt": b"last"}


def packed(files: dict[str, bytes], *, compressed: bool) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(content.getvalue(), 1) if compressed else content.getvalue()


def unpacked(content: bytes, folder: Path) -> dict[str, bytes]:
    (folder / "model.tar.gz").write_bytes(content)
    (folder / "place").mkdir(exist_ok=True)
    unpack(folder / "model.tar.gz", folder / "place")
    paths = (path for path in (folder / "place").rglob("*") if path.is_file())
    return {path.relative_to(folder / "place").as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("compressed", [False, True])
def test_what_was_packed_comes_out(compressed: bool, tmp_path: Path) -> None:
    assert unpacked(packed(FILES, compressed=compressed), tmp_path) == FILES


def test_every_single_bit_of_damage_to_a_compressed_archive_is_seen(tmp_path: Path) -> None:
    whole = packed(FILES, compressed=True)
    wrong = 0
    for place in random.Random(1).sample(range(10, len(whole)), 200):  # behind the header, which names no content
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        with contextlib.suppress(CheckpointError):  # some bits only say in another way what was there
            wrong += unpacked(bytes(damaged), tmp_path) != FILES
        shutil.rmtree(tmp_path / "place")
    assert wrong == 0


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_that_was_cut_off_anywhere_is_refused(compressed: bool, tmp_path: Path) -> None:
    whole = packed(FILES, compressed=compressed)
    ends = len(whole) if compressed else len(whole.rstrip(b"\0"))
    for kept in range(0, ends, 7 if compressed else 256):
        with pytest.raises(CheckpointError, match=r"damaged|cut off"):
            unpacked(whole[:kept], tmp_path)


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    for empty in (packed({}, compressed=False), packed({}, compressed=True), bytes(10_240), b""):
        with pytest.raises(CheckpointError, match=r"empty|damaged"):
            unpacked(empty, tmp_path)


def test_a_header_that_cannot_be_read_does_not_end_an_archive(tmp_path: Path) -> None:
    damaged = bytearray(packed(FILES, compressed=False))
    damaged[damaged.index(b"model/c.txt") + 150] ^= 1
    with pytest.raises(CheckpointError, match="damaged"):
        unpacked(bytes(damaged), tmp_path)


def test_damaged_weights_in_a_plain_archive_are_seen_by_their_own_checksum(tmp_path: Path) -> None:
    weights = io.BytesIO()
    torch.save({"a": torch.arange(1000.0)}, weights)
    content = bytearray(packed({"model/unet.bin": weights.getvalue()}, compressed=False))
    unpacked(bytes(content), tmp_path)
    content[content.index(torch.arange(500.0, 502.0).numpy().tobytes())] ^= 1
    with pytest.raises(CheckpointError, match=r"checksum of unet\.bin"):
        unpacked(bytes(content), tmp_path)


@pytest.mark.parametrize(
    "name", ["../../evil.txt", "/tmp/evil.txt", "model/../../evil.txt", "..\\evil.txt", "C:/evil.txt"]
)
def test_a_name_that_reaches_outside_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not safe"):
        unpacked(packed({name: b"evil"}, compressed=False), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tar.gz", "place"]
    assert not list((tmp_path / "place").rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        link = tarfile.TarInfo("model")
        link.type, link.linkname = kind, "/etc"
        tar.addfile(link)
    with pytest.raises(CheckpointError, match="link or a device"):
        unpacked(content.getvalue(), tmp_path)


def test_an_archive_larger_than_the_disk_or_of_countless_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = packed({"model/zeros.bin": bytes(10**7)}, compressed=True)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6})())
    with pytest.raises(CheckpointError, match="TMPDIR"):
        unpacked(bomb, tmp_path)
    assert not list((tmp_path / "place").rglob("*"))
    monkeypatch.undo()
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 5)
    with pytest.raises(CheckpointError, match="more than 5 files"):
        unpacked(packed({f"{n}.txt": b"" for n in range(6)}, compressed=False), tmp_path)
    monkeypatch.setattr(archives, "_MOST_BEHIND", 10**5)
    with pytest.raises(CheckpointError, match="behind its end"):
        unpacked(gzip.compress(gzip.decompress(packed(FILES, compressed=True)) + bytes(10**6)), tmp_path)


def test_a_damaged_archive_of_a_model_is_not_loaded(tiny: BlipDiffusion, tiny_lavis: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tiny_lavis, "blip-diffusion")
    whole = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    with pytest.raises(CheckpointError, match="CRC check failed"):
        load_model(tmp_path / "model.tar.gz", dtype="stored")
