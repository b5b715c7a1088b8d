"""Pictures as people have them, and the broken ones."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.errors import ImageError, NumericsError, ShapeError
from blipdiff.images import (
    PhotoSettings,
    as_rgb,
    fitted,
    open_picture,
    picture_tensor,
    subject_pixels,
    thumbnail,
    to_pictures,
)
from blipdiff.picture_files import LARGEST_PIXELS

SETTINGS = PhotoSettings(side=32)


def gradient(width: int = 48, height: int = 32) -> Image.Image:
    across = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None].repeat(height, 0)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None, None].repeat(width, 1)
    return Image.fromarray(np.concatenate([across, down, np.full_like(across, 90)], axis=2))


def colour(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    value = image.getpixel(at)
    assert isinstance(value, tuple)
    return tuple(int(v) for v in value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_a_plain_picture_comes_back_as_it_was(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(open_picture(tmp_path / "a.png")), np.asarray(gradient()))


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    gradient(48, 32).save(tmp_path / "a.jpg", exif=exif)
    upright = open_picture(tmp_path / "a.jpg")
    assert upright.size == (32, 48)
    assert upright.getexif().get(0x0112) is None
    assert as_rgb(upright).size == (32, 48)


def test_transparency_is_composited_on_white_in_every_mode_that_has_it(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    assert colour(as_rgb(clear)) == (255, 255, 255)
    assert colour(as_rgb(clear, ground="red")) == (255, 0, 0)
    assert colour(as_rgb(Image.new("RGBA", (9, 9), (0, 0, 0, 128)))) == (127, 127, 127)
    assert colour(as_rgb(Image.new("LA", (9, 9), (0, 0)))) == (255, 255, 255)
    palette = Image.new("P", (9, 9), 0)
    palette.putpalette([0, 0, 0, 200, 10, 10])
    palette.save(tmp_path / "p.png", transparency=0)
    assert colour(open_picture(tmp_path / "p.png")) == (255, 255, 255)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert colour(open_picture(tmp_path / "key.png")) == (255, 255, 255)


def test_grey_and_two_colour_pictures_become_rgb() -> None:
    assert colour(as_rgb(Image.new("L", (9, 9), 77))) == (77, 77, 77)
    assert colour(as_rgb(Image.new("1", (9, 9), 1))) == (255, 255, 255)


def test_an_opaque_palette_keeps_its_colours(tmp_path: Path) -> None:
    gradient().quantize(16).save(tmp_path / "a.png")
    assert abs(np.asarray(open_picture(tmp_path / "a.png")).astype(int) - np.asarray(gradient())).mean() < 20


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bits_are_scaled_not_clipped(mode: str, tmp_path: Path) -> None:
    values = np.array([[0, 257 * 10, 257 * 128, 65535]], dtype=np.uint16).repeat(9, 0)
    picture = Image.fromarray(values if mode == "I;16" else values.astype(np.int32))
    assert picture.mode == mode
    assert [colour(as_rgb(picture), (x, 0))[0] for x in range(4)] == [0, 10, 128, 255]
    picture.save(tmp_path / "a.png")
    assert [colour(open_picture(tmp_path / "a.png"), (x, 0))[0] for x in range(4)] == [0, 10, 128, 255]


def test_floating_point_pictures_are_read_as_zero_to_one_or_as_bytes() -> None:
    assert colour(as_rgb(Image.fromarray(np.full((9, 9), 0.5, np.float32)))) == (128, 128, 128)
    assert colour(as_rgb(Image.fromarray(np.full((9, 9), 200.0, np.float32)))) == (200, 200, 200)
    assert colour(as_rgb(Image.fromarray(np.full((9, 9), np.nan, np.float32)))) == (0, 0, 0)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_has_the_colours_that_it_had(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK").save(tmp_path / f"a.{suffix}")
    assert colour(open_picture(tmp_path / f"a.{suffix}"), (8, 8)) == pytest.approx((200, 40, 40), abs=8)


def test_lab_is_converted() -> None:
    grey = Image.new("LAB", (9, 9), (128, 128, 128))
    assert max(colour(as_rgb(grey))) - min(colour(as_rgb(grey))) < 6


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_gives_its_first_frame(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), shade) for shade in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=50)
    assert colour(open_picture(tmp_path / f"a.{suffix}"), (4, 4)) == pytest.approx((255, 0, 0), abs=4)


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side in (10_001, 60_000):
        (tmp_path / "bomb.png").write_bytes(png_header(side, side))
        with pytest.raises(ImageError, match="megapixels"):
            open_picture(tmp_path / "bomb.png")
    assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match="megapixels"):
        as_rgb(Image.new("1", (LARGEST_PIXELS // 1000 + 1, 1000)))


def test_a_large_picture_within_the_limit_is_read(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    Image.new("1", (9_600, 9_600)).save(tmp_path / "large.png")  # above Pillow's own threshold of a warning
    assert open_picture(tmp_path / "large.png").size == (9_600, 9_600)
    assert not [w for w in recwarn if issubclass(w.category, Image.DecompressionBombWarning)]


def test_a_cut_off_picture_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "webp", "gif"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        (tmp_path / f"cut.{suffix}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(ImageError, match=r"damaged|cut off"):
            open_picture(tmp_path / f"cut.{suffix}")


def test_a_corrupt_picture_is_refused(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[60:90] = bytes(30)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError):
        open_picture(tmp_path / "a.png")


def test_what_is_no_picture_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("I am a picture, really.")
    (tmp_path / "empty.png").touch()
    (tmp_path / "script.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name, words in [
        ("text.png", "not a picture"),
        ("empty.png", "empty"),
        ("script.eps", "not a picture"),
        ("nowhere.png", "no picture at"),
        (".", "not a file"),
        ("x" * 300 + ".png", "cannot be read"),
    ]:
        with pytest.raises(ImageError, match=words) as caught:
            open_picture(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_one_pixel_is_a_picture_but_no_subject(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(tmp_path / "a.png")
    dot = open_picture(tmp_path / "a.png")
    assert picture_tensor(dot, (8, 8)).shape == (3, 8, 8)
    with pytest.raises(ImageError, match="at least 8 x 8"):
        subject_pixels(dot, SETTINGS, fit="crop")
    with pytest.raises(ImageError, match="at least 8 x 8"):
        subject_pixels(Image.new("RGB", (500, 7)), SETTINGS, fit="squash")


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(8, 8), (33, 31), (100, 20), (20, 100), (4000, 8), (8, 4000)])
def test_every_fit_gives_the_side_that_was_asked(fit: str, size: tuple[int, int]) -> None:
    pixels = subject_pixels(gradient(*size), SETTINGS, fit=fit)  # type: ignore[arg-type]
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == torch.float32
    assert bool(torch.isfinite(pixels).all())


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (31, 47)])
def test_crop_resizes_the_short_side_and_cuts_the_centre_as_torchvision_does(size: tuple[int, int]) -> None:
    photo, short = gradient(*size), min(size)
    longer = int(32 * max(size) / short)
    resized = photo.resize((longer, 32) if size[0] > size[1] else (32, longer), Image.Resampling.BICUBIC)
    start = round((longer - 32) / 2.0)
    box = (start, 0, start + 32, 32) if size[0] > size[1] else (0, start, 32, start + 32)
    assert np.array_equal(np.asarray(resized.crop(box)), np.asarray(fitted(photo, (32, 32), "crop")))


def test_a_square_photo_is_the_same_however_it_is_fitted() -> None:
    squash, crop, pad = (np.asarray(fitted(gradient(50, 50), (32, 32), fit)) for fit in ("squash", "crop", "pad"))
    assert np.array_equal(squash, crop)
    assert np.array_equal(squash, pad)


def test_pad_adds_white_and_keeps_the_aspect() -> None:
    padded = fitted(Image.new("RGB", (64, 32), "black"), (32, 32), "pad")
    assert [colour(padded, (16, y)) for y in (0, 7, 8, 16, 23, 24)] == [
        (255, 255, 255),
        (255, 255, 255),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
        (255, 255, 255),
    ]


def test_an_unknown_fit_and_an_empty_size_are_refused() -> None:
    with pytest.raises(ImageError, match="squash, crop or pad"):
        subject_pixels(gradient(), SETTINGS, fit="stretch")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="cannot be made"):
        picture_tensor(gradient(), (0, 5))


def test_pixels_survive_the_way_to_tensors_and_back() -> None:
    assert np.array_equal(np.asarray(to_pictures(picture_tensor(gradient())[None])[0]), np.asarray(gradient()))


def test_pixels_are_rounded_and_clipped_in_any_dtype() -> None:
    pixels = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert np.asarray(to_pictures(pixels)[0])[..., 0].ravel().tolist() == [0, 0, 1, 255]
    assert np.asarray(to_pictures(pixels.bfloat16())[0])[..., 0].ravel().tolist() == [0, 0, 1, 255]


def test_pixels_that_are_no_numbers_or_no_pictures_are_refused() -> None:
    with pytest.raises(NumericsError):
        to_pictures(torch.full((1, 3, 4, 4), float("nan")))
    with pytest.raises(ShapeError):
        to_pictures(torch.zeros(3, 4, 4))


def test_a_thumbnail_is_small_and_leaves_the_photo_alone() -> None:
    photo = gradient(200, 100)
    assert thumbnail(photo).size == (96, 48)
    assert photo.size == (200, 100)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_one_picture_that_is_not_decoded_yet_may_be_read_by_many_threads(kind: str) -> None:
    file = io.BytesIO()
    gradient(400, 300).save(file, kind)
    right = np.asarray(as_rgb(Image.open(io.BytesIO(file.getvalue()))))
    for _ in range(6):
        shared = Image.open(io.BytesIO(file.getvalue()))
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _, one=shared: np.asarray(as_rgb(one)), range(8)))
        assert all(np.array_equal(one, right) for one in found)
