import pytest
from PIL import Image

from blipdiff.distances import neighbour_distances, picture_distance


def plain(colour: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_black_and_white_are_one_apart_and_a_picture_is_none_from_itself():
    assert picture_distance(plain("black"), plain("white")) == pytest.approx(1, abs=1e-3)
    assert picture_distance(plain("teal"), plain("teal")) == 0


def test_distances_are_those_of_lab():
    # CIE76 of the sRGB primaries red and green, as tables have it: 170.6
    assert picture_distance(plain("red"), plain("lime")) == pytest.approx(1.706, abs=0.01)


def test_a_shift_by_a_pixel_counts_less_than_a_change_of_colour():
    one = plain("white", (64, 64))
    shifted = one.copy()
    one.paste("red", (16, 16, 48, 48))
    shifted.paste("red", (17, 16, 49, 48))
    other = plain("white", (64, 64))
    other.paste("blue", (16, 16, 48, 48))
    assert picture_distance(one, shifted) < 0.2 * picture_distance(one, other)
    assert len(neighbour_distances([one, shifted, other])) == 2
