"""Masks that are painted, and those of jobs that come back."""

from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from app.ui.painting import Painting
from tests.support.tiny_models import photo


def painting() -> Painting:
    with gr.Blocks():
        return Painting("canvas", "The source")


def test_a_jobs_mask_lies_on_its_photo_again_and_is_the_same_mask(tmp_path: Path) -> None:
    photo(1, (40, 24)).save(tmp_path / "garden.png")
    mask = Image.new("L", (40, 24))
    mask.paste(255, (4, 4, 20, 20))
    mask.putpixel((21, 8), 90)  # an edge
    ours, path = painting(), str(tmp_path / "garden.png")
    canvas, kept = (ours.recalled(path, [mask])[one] for one in ours.outputs)
    assert canvas["background"].size == (40, 24)
    assert ours.shown(path, kept)["layers"][0].tobytes() == canvas["layers"][0].tobytes(), "the photo's own change"
    again = ours.mask((40, 24), canvas, kept)
    assert again is not None
    assert again.tobytes() == mask.tobytes()
    stroke = Image.new("RGBA", (40, 24))
    stroke.paste("white", (30, 0, 40, 24))
    more = ours.mask((40, 24), {**canvas, "layers": [*canvas["layers"], stroke]}, kept)
    assert more is not None
    assert np.asarray(more)[:, 35].min() == 255
    assert ours.mask((40, 24), {**canvas, "layers": []}, kept) is None


def test_another_photo_or_none_has_no_mask_of_the_one_before(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        photo(1, (40, 24)).save(tmp_path / name)
    ours = painting()
    kept = ours.recalled(str(tmp_path / "one.png"), [Image.new("L", (40, 24), 255)])[ours.outputs[1]]
    assert ours.shown(str(tmp_path / "two.png"), kept)["layers"] == []
    assert ours.shown(None, kept) is None


def test_a_mask_of_a_picture_that_is_drawn_first_lies_on_a_blank_one() -> None:
    ours, mask = painting(), Image.new("L", (64, 32))
    mask.paste(255, (0, 0, 32, 32))
    canvas, kept = (ours.recalled(None, [mask])[one] for one in ours.outputs)
    assert canvas["background"].size == (512, 256)
    again = ours.mask((64, 32), canvas, kept)
    assert again is not None
    assert again.tobytes() == mask.tobytes()
