"""Whether a picture looks like a photograph: for a hint alone."""

from importlib.resources import files
from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import Image

from app.ui.photographs import any_photograph, looks_like_photograph

IMAGES = Path(gradio.__file__).parent / "media_assets" / "images"
SUBJECTS = sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))


@pytest.mark.parametrize("name", ["cheetah.jpg", "cheetah1.jpg", "groot.jpeg", "lion.jpg", "tower.jpg"])
def test_photographs_look_like_photographs(name: str) -> None:
    assert any_photograph([str(IMAGES / name)])


def test_drawings_do_not_nor_does_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "card.safetensors").write_bytes(b"no picture")
    drawn = [str(path) for path in (*SUBJECTS, IMAGES / "logo.png", tmp_path / "card.safetensors", tmp_path / "none")]
    assert len(SUBJECTS) == 8
    assert not any_photograph(drawn)
    assert any_photograph([*drawn, str(IMAGES / "lion.jpg")])


def test_a_single_pixel_is_no_photograph() -> None:
    assert not looks_like_photograph(Image.new("RGB", (1, 1)))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert looks_like_photograph(Image.fromarray(noise))
