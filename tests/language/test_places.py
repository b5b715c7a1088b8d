"""Where a picture's subject is, told among the places that are known."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints.describer import load_describer
from blipdiff.data import composite, premultiplied, warped
from blipdiff.data.drawn import SCENES, paint_scene
from blipdiff.language.questions import PLACES
from blipdiff.language.verdicts import place_share
from blipdiff.models.describer import Describer

PADLOCK = Path(str(files("blipdiff"))) / "assets" / "subjects" / "padlock.png"


pytestmark = pytest.mark.bundled


@pytest.fixture(scope="module")
def describer() -> Describer:
    return load_describer("mini-describe")


def picture(scene: str, seed: int) -> Image.Image:
    """A padlock on a drawn ground."""
    kind = next(one for one in SCENES if one.name == scene)
    ground, _ = paint_scene(kind, np.random.default_rng(seed), 128)
    cut_out = premultiplied(np.asarray(Image.open(PADLOCK).convert("RGBA").resize((128, 128))))
    return Image.fromarray(composite(warped(cut_out, 0.6, 0.0, 0.5, 0.62), ground))


@pytest.mark.parametrize(("scene", "place"), [("beach", "on a beach"), ("snow", "in the snow"), ("fire", "in fire")])
def test_the_place_that_is_there_has_the_largest_share(describer: Describer, scene: str, place: str) -> None:
    for seed in range(3):
        patches = describer.patches([picture(scene, seed)])
        shares = {one: place_share(describer, patches, "padlock", one) for one in PLACES}
        assert max(shares, key=lambda one: shares[one]) == place
        assert shares[place] > 0.5


def test_another_wording_of_the_same_place_is_not_set_against_it(describer: Describer) -> None:
    patches = describer.patches([picture("snow", 0)])
    shares = [place_share(describer, patches, "padlock", one) for one in ("in the snow", "in winter", "on snow")]
    assert min(shares) > 0.5
    assert max(shares) - min(shares) < 0.3
