"""Pictures whose file is broken beside the pixels, and formats that need more than Pillow's common readers."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff import images
from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.images import as_rgb, open_picture
from tests.support.picture_bytes import BROKEN_EXIF, BROKEN_RATIONAL, chunk, exif, tiff, turned, with_chunks


def scene(width: int = 48, height: int = 32) -> Image.Image:
    across = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None].repeat(height, 0)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None, None].repeat(width, 1)
    return Image.fromarray(np.concatenate([across, down, np.full_like(across, 90)], axis=2))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


def jpeg(path: Path, *segments: tuple[int, bytes]) -> Path:
    """The scene as a JPEG with more segments behind its start."""
    file = io.BytesIO()
    scene().save(file, format="JPEG", quality=95)
    more = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    path.write_bytes(file.getvalue()[:2] + more + file.getvalue()[2:])
    return path


@pytest.mark.parametrize("kind", BROKEN_EXIF)
def test_broken_exif_hides_no_pixels_and_the_picture_is_upright(kind: str, tmp_path: Path) -> None:
    upright = open_picture(jpeg(tmp_path / "plain.jpg")).transpose(Image.Transpose.ROTATE_270)
    assert same(open_picture(jpeg(tmp_path / "a.jpg", (0xE1, BROKEN_EXIF[kind]))), upright)
    scene().save(tmp_path / "a.png")
    told = chunk(b"eXIf", BROKEN_EXIF[kind][6:])
    assert open_picture(with_chunks(tmp_path / "a.png", behind=told)).size == (32, 48)
    assert as_rgb(Image.open(tmp_path / "a.jpg")).size == (32, 48)


def test_exif_that_cannot_be_read_at_all_hides_no_pixels(tmp_path: Path) -> None:
    for header in (b"XX*\0", b"II\0\0", b""):
        told = exif(turned(6), header=header)
        assert same(open_picture(jpeg(tmp_path / "a.jpg", (0xE1, told))), open_picture(jpeg(tmp_path / "b.jpg")))


def test_a_tiff_with_broken_exif_is_read_upright(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(48, 32, scene().tobytes(), turned(6), BROKEN_RATIONAL))
    assert same(open_picture(tmp_path / "a.tif"), scene().transpose(Image.Transpose.ROTATE_270))


LONG = zlib.compress(b"x" * 1_300_000)
CHUNKS = {
    "a long packed text": chunk(b"zTXt", b"workflow\0\0" + LONG),
    "a long packed international text": chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
    "a text whose checksum is wrong": chunk(b"tEXt", b"a\0b")[:-1] + b"!",
    "a text packed otherwise": chunk(b"zTXt", b"a\0\7b"),
    "a gamma cut off": chunk(b"gAMA", b"\0"),
    "colours cut off": chunk(b"cHRM", b"\0\0\1"),
    "transparency cut off": chunk(b"tRNS", b"\0"),
    "a resolution cut off": chunk(b"pHYs", b"\0\0"),
    "a profile longer than any": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**21))),
    "a profile packed otherwise": chunk(b"iCCP", b"a\0\7b"),
    "an animation cut off": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("kind", CHUNKS)
def test_no_chunk_of_a_png_hides_its_pixels(kind: str, place: str, tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    assert same(open_picture(with_chunks(tmp_path / "a.png", **{place: CHUNKS[kind]})), scene())


def test_what_can_be_read_beside_a_broken_chunk_still_counts(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    told = CHUNKS["a long packed text"] + chunk(b"eXIf", exif(turned(6))[6:])
    assert open_picture(with_chunks(tmp_path / "a.png", before=told)).size == (32, 48)
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "b.png", transparency=(1, 2, 3))
    clear = open_picture(with_chunks(tmp_path / "b.png", behind=CHUNKS["a gamma cut off"]))
    assert clear.getpixel((4, 4)) == (255, 255, 255)


def test_damaged_pixels_stay_damaged_whatever_stands_beside_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = with_chunks(tmp_path / "a.png", before=CHUNKS["a long packed text"]).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"damaged|cut off"):
        open_picture(tmp_path / "a.png")


SEGMENTS = {
    "several pictures, cut off": (0xE2, b"MPF\0II*\0\xff\xff"),
    "several pictures without a number": (0xE2, b"MPF\0" + exif((0xB000, 7, 4, b"0100"))[6:]),
    "a JFIF cut off": (0xE0, b"JFIF\0"),
    "an Adobe segment cut off": (0xED, b"Photoshop 3.0\x008BIM\x03\xed"),
    "a profile without its rest": (0xE2, b"ICC_PROFILE\0\1\2abc"),
}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_no_segment_of_a_jpeg_hides_its_pixels(kind: str, tmp_path: Path) -> None:
    assert same(open_picture(jpeg(tmp_path / "a.jpg", SEGMENTS[kind])), open_picture(jpeg(tmp_path / "b.jpg")))


def test_the_first_frame_is_read_where_the_second_is_damaged(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.mpo", save_all=True, append_images=[scene().rotate(180)])
    first = open_picture(tmp_path / "a.mpo")
    data = (tmp_path / "a.mpo").read_bytes()
    second = data.index(b"\xff\xd8\xff", 100)
    (tmp_path / "a.mpo").write_bytes(data[: second + 10] + bytes(40))
    assert same(open_picture(tmp_path / "a.mpo"), first)


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_heic_and_avif_are_read_upright(suffix: str, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    told = Image.Exif()
    told[0x0112] = 6
    if suffix == "heic":
        held = pillow_heif.from_pillow(scene())
        held.save(tmp_path / "a.heic", quality=95, exif=told.tobytes())
    else:
        scene().save(tmp_path / "a.avif", quality=95, exif=told)
    upright = np.asarray(scene().transpose(Image.Transpose.ROTATE_270)).astype(int)
    found = np.asarray(open_picture(tmp_path / f"a.{suffix}")).astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 6


def test_damaged_heic_and_avif_are_named_as_what_they_are(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(scene()).save(tmp_path / "a.heic")
    scene().save(tmp_path / "a.avif")
    for suffix in ("heic", "avif"):
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        for kept in (32, len(whole) // 2, len(whole) - 20):
            (tmp_path / f"cut.{suffix}").write_bytes(whole[:kept])
            with pytest.raises(ImageError, match="damaged or cut off") as caught:
                open_picture(tmp_path / f"cut.{suffix}")
        assert f"cut.{suffix}" in str(caught.value)
        (tmp_path / f"cut.{suffix}").write_bytes(whole[:32])
        with pytest.raises(ImageError, match=f"a {suffix.upper()} picture"):
            open_picture(tmp_path / f"cut.{suffix}")


def test_a_heic_picture_without_its_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingDependencyError, match=r"a\.heic.*pip install 'blipdiff\[heif\]'"):
        open_picture(tmp_path / "a.heic")


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(image: Image.Image) -> Image.Image:
        raise TypeError("a bug")

    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_scaled", bug)
    with pytest.raises(TypeError, match="a bug"):
        open_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="nocolour"):
        as_rgb(scene(), "nocolour")


def test_a_picture_is_read_as_it_was_given_and_stays_so(tmp_path: Path) -> None:
    told = Image.Exif()
    told[0x0112] = 6
    scene().save(tmp_path / "a.png", exif=told, icc_profile=b"none")
    given = Image.open(tmp_path / "a.png")
    assert same(as_rgb(given), open_picture(tmp_path / "a.png"))
    assert given.size == (48, 32)
    assert given.info["icc_profile"] == b"none"
    plain = scene()
    assert as_rgb(plain) is not plain
    assert open_picture(tmp_path / "a.png").info == {}
