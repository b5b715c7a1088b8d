"""Colours under ICC profiles, compared with the arithmetic that the profiles stand for."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from blipdiff.images import as_rgb, open_picture
from tests.support.picture_bytes import grey_profile, ink_profile, matrix_profile

# Red, green and blue under D50, as columns (Bradford's adaptation of the primaries that the standards name).
SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
WIDE = {"Display P3": (DISPLAY_P3, 2.2), "Adobe RGB": (ADOBE_RGB, 2.19921875)}


def colours() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(60, 190, (12, 10, 3), dtype=np.uint8)


def encoded(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    clipped = linear.clip(0, 1)
    return 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)  # type: ignore[no-any-return]


def expected(values: npt.NDArray[np.uint8], columns: object, exponent: float) -> npt.NDArray[np.float64]:
    linear = (values / 255) ** exponent @ np.array(columns)
    return encoded(linear @ np.linalg.inv(np.array(SRGB)))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("name", WIDE)
def test_wide_colours_become_srgb(name: str, suffix: str, tmp_path: Path) -> None:
    more = {"lossless": True} if suffix == "webp" else {}
    profile = matrix_profile(*WIDE[name])
    Image.fromarray(colours()).save(tmp_path / f"a.{suffix}", icc_profile=profile, **more)
    found = np.asarray(open_picture(tmp_path / f"a.{suffix}"))
    assert np.abs(found - expected(colours(), *WIDE[name])).max() <= 2
    assert np.abs(found.astype(int) - colours()).max() > 5


def test_see_through_and_palette_pictures_are_under_their_profile_too(tmp_path: Path) -> None:
    profile, clear = matrix_profile(*WIDE["Adobe RGB"]), Image.fromarray(colours()).convert("RGBA")
    clear.putpixel((0, 0), (9, 9, 9, 0))
    clear.save(tmp_path / "clear.png", icc_profile=profile)
    few = Image.new("RGB", (9, 9), (200, 60, 90)).quantize(4)
    few.save(tmp_path / "few.png", icc_profile=profile)
    found = np.asarray(open_picture(tmp_path / "clear.png"))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[1:] - expected(colours(), *WIDE["Adobe RGB"])[1:]).max() <= 2
    wanted = expected(np.full((1, 1, 3), (200, 60, 90), np.uint8), *WIDE["Adobe RGB"])[0, 0]
    assert np.abs(np.asarray(open_picture(tmp_path / "few.png"))[4, 4] - wanted).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_pictures_have_the_brightness_that_their_profile_says(mode: str, tmp_path: Path) -> None:
    levels = np.arange(40, 240, 10, dtype=np.uint8)[None].repeat(3, 0)
    grey = Image.fromarray(levels).convert(mode)
    grey.save(tmp_path / "a.png", icc_profile=grey_profile(1.8))
    found = np.asarray(open_picture(tmp_path / "a.png"))
    assert np.abs(found[..., 0] - encoded((levels / 255) ** 1.8)).max() <= 2
    assert np.abs(found[..., 0].astype(int) - levels).max() > 5


def test_inks_have_the_colours_of_their_profile(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (8, 8), (0, 255, 0, 0))
    inks.paste((0, 0, 0, 0), (0, 0, 4, 8))
    inks.save(tmp_path / "a.tif", icc_profile=ink_profile((128, 70, 190)))  # a green, so that it is seen
    found = open_picture(tmp_path / "a.tif")
    red, green, blue = np.asarray(found)[4, 6].tolist()
    assert np.asarray(found)[4, 1].min() >= 253
    assert green > red + 60
    assert green > blue + 60


def test_a_picture_in_srgb_is_left_alone_to_the_bit(tmp_path: Path) -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for place, profile in enumerate((own, b"")):
        Image.fromarray(colours()).save(tmp_path / f"{place}.png", icc_profile=profile)
        assert np.array_equal(np.asarray(open_picture(tmp_path / f"{place}.png")), colours())


def test_a_broken_profile_changes_nothing(tmp_path: Path) -> None:
    whole = matrix_profile(*WIDE["Adobe RGB"])
    wrong = [whole[:200], whole[:128] + bytes(len(whole) - 128), b"no profile", grey_profile(1.8)]
    for place, profile in enumerate([*wrong, ink_profile((1, 2, 3))]):
        Image.fromarray(colours()).save(tmp_path / f"{place}.png", icc_profile=profile)
        assert np.array_equal(np.asarray(open_picture(tmp_path / f"{place}.png")), colours())


def test_a_profile_is_applied_once(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png", icc_profile=matrix_profile(*WIDE["Display P3"]))
    once = open_picture(tmp_path / "a.png")
    assert np.array_equal(np.asarray(as_rgb(once)), np.asarray(once))
    assert np.array_equal(np.asarray(as_rgb(Image.open(tmp_path / "a.png"))), np.asarray(once))
