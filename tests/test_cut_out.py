"""Cut-outs: the way is chosen by what the photo allows, and told; what is no subject is refused in a sentence."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.cut_out import cut_out, framed, reduced
from blipdiff.errors import ImageError


def disc(ground="white", size=(96, 80), hole=None, fill="red"):
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    pen.ellipse((28, 20, 68, 60), fill=fill)
    if hole is not None:
        pen.ellipse((42, 34, 54, 46), fill=hole)
    return image


def true_mask(size=(96, 80)):
    image = Image.new("L", size)
    ImageDraw.Draw(image).ellipse((28, 20, 68, 60), fill=255)
    return np.asarray(image) > 127


def uneven(size=(96, 80)):
    noise = np.random.default_rng(0).integers(0, 90, (*size[::-1], 3)).astype(np.uint8)
    noise[..., 1] += 120
    ground = Image.fromarray(noise)
    ground.paste(disc(), mask=Image.fromarray(true_mask(size)))
    return ground


def overlap(found, wanted):
    mask = np.asarray(found.mask) > 127
    return (mask & wanted).sum() / (mask | wanted).sum()


def test_transparency_is_taken_as_it_is():
    layers = disc("blue").convert("RGBA")
    layers.putalpha(Image.fromarray(true_mask().astype(np.uint8) * 255))
    found = cut_out(layers)
    assert (found.way, found.sure, found.note) == ("alpha", True, None)
    assert overlap(found, true_mask()) == 1
    assert found.image.size == (41, 41) and found.image.mode == "RGBA"
    pixels = np.asarray(found.image)
    assert (pixels[pixels[..., 3] == 0][:, :3] == 255).all()  # nothing of the ground is kept


@pytest.mark.parametrize("ground", ["white", "black", "#d0d0d0"])
def test_a_plain_ground_is_flooded_from_the_rim_and_what_it_surrounds_stays(ground):
    found = cut_out(disc(ground, hole=ground))
    assert (found.way, found.sure) == ("plain ground", True)
    assert overlap(found, true_mask()) > 0.97
    assert np.asarray(found.mask)[40, 48] == 255


def test_a_hole_shows_a_coloured_ground():
    found = cut_out(disc("#c8e0c0", hole="#c8e0c0"))
    assert np.asarray(found.mask)[40, 48] == 0 and np.asarray(found.mask)[25, 48] == 255


def test_a_subject_that_reaches_into_the_rim_is_still_cut_out():
    image = disc("white")
    ImageDraw.Draw(image).rectangle((44, 50, 52, 79), fill="red")
    found = cut_out(image)
    assert found.way == "plain ground" and np.asarray(found.mask)[79, 48] == 255


def test_uneven_ground_takes_colours_and_is_never_sure():
    pytest.importorskip("cv2")
    found = cut_out(uneven())
    assert (found.way, found.sure) == ("grabcut", False)
    assert overlap(found, true_mask()) > 0.9
    assert "blipdiff cut-out" in found.note


def test_a_segmenter_that_is_given_goes_before_colours():
    asked = []

    def segment(rgb):
        asked.append(rgb.size)
        return true_mask().astype(np.float32)

    found = cut_out(uneven(), segment=segment)
    assert (found.way, asked) == ("segmenter", [(96, 80)])
    assert overlap(found, true_mask()) > 0.9
    assert cut_out(disc(), segment=segment).way == "plain ground" and len(asked) == 1


@pytest.mark.parametrize("share, said", [(0.0, "No subject was found"), (1.0, "The whole photo would be the subject")])
def test_nothing_and_everything_are_refused(share, said):
    with pytest.raises(ImageError, match=said):
        cut_out(uneven(), segment=lambda rgb: np.full((80, 96), share, np.float32))
    if share == 0:
        clear = disc().convert("RGBA")
        clear.putalpha(0)
        with pytest.raises(ImageError, match=said):
            cut_out(clear)


def test_a_cut_out_is_reduced_once_and_framed_in_the_middle():
    small = reduced(cut_out(disc()).image, 20)
    assert max(small.size) == 20 and reduced(small, 20) is small
    picture, mask = framed(small, (64, 48))
    seen = np.asarray(mask) > 127
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert abs(rows[0] + rows[-1] - 47) <= 2 and abs(columns[0] + columns[-1] - 63) <= 2
    assert 38 <= rows[-1] - rows[0] + 1 <= 43
    pixels = np.asarray(picture).astype(int)
    assert (pixels[0, 0] == 255).all() and (pixels[24, 32] - [255, 0, 0] == 0).all()


def test_a_given_mask_is_taken_whatever_the_photo_shows_and_at_the_size_it_was_painted():
    wanted = np.zeros((80, 96), bool)
    wanted[20:60, 10:50] = True
    small = Image.fromarray(wanted).convert("L").resize((48, 40))
    for photo in (disc(), uneven(), disc("blue").convert("RGBA")):
        found = cut_out(photo, mask=small)
        assert (found.way, found.sure, found.note) == ("given", True, None)
        assert overlap(found, wanted) > 0.95


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (Image.new("L", (96, 80)), "No subject was found"),
        (Image.new("L", (96, 80), 255), "whole photo"),
        (Image.new("L", (80, 96), 255), "of the photo's shape"),
        (Image.new("RGB", (96, 80), "red"), "coloured picture"),
    ],
)
def test_a_given_mask_that_is_none_is_refused(mask, said):
    with pytest.raises(ImageError, match=said):
        cut_out(disc(), mask=mask)
