"""Damaged archives: what comes out is what was packed, or one sentence names the archive; nothing lands outside."""

import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from blipdiff.checkpoints.archives import unpack
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes

FILES = {"model/a.txt": b"first" * 300, "model/b.bin": bytes(range(256)) * 20, "model/long" * 15: b"last"}


def packed(mode: str, kind: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=kind) as tar:  # type: ignore[call-overload]
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives(mode: str, kind: int, fuzz: Fuzz, tmp_path: Path) -> None:
    def read(content: bytes) -> None:
        with TemporaryDirectory(dir=tmp_path) as place:
            archive, out = Path(place) / "model.tar", Path(place) / "out"
            out.mkdir()
            archive.write_bytes(content)
            unpack(archive, out)
            assert sorted(path.name for path in Path(place).iterdir()) == ["model.tar", "out"]
            files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
            assert mode == "w" or files == FILES  # a plain archive has no checksum of its content

    read(packed(mode, kind))
    fuzz(damaged_bytes(packed(mode, kind)), read, content=bytes, share=0.25)
