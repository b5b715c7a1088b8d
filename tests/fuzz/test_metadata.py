"""Damaged metadata of pictures, on the whole way of --like up to the first step."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pipelines.blend_repeat import repeat_blend
from pipelines.blend_request import BlendRequest
from pipelines.edit_request import EditRequest
from pipelines.edit_run import Edited, repeat_edit, run_edit
from pipelines.requests import GenerateRequest
from pipelines.results import Picture, read_metadata, save_picture
from pipelines.scene_repeat import repeat_scene
from pipelines.scene_request import SceneRequest
from pipelines.stylize_request import ControlSettings, StylizeRequest

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from pipelines.blend import Frame, blend
from pipelines.scene import Placed, draw_scene
from pipelines.studio import Studio
from pipelines.stylize import Stylist
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes, damaged_json
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model

Again = Callable[[Mapping[str, Any]], Iterator[Any]]

LARGE = 4 * PIXELS  # what is wider is asked for rightly, and draws for longer than there is time
_SHARE = 0.5


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def cards(studio: Studio) -> list[SubjectEmbedding]:
    return studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(("dog", "tiger"))])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture(params=["generate", "edit", "scene", "blend", "stylize"])
def made(
    request: pytest.FixtureRequest, studio: Studio, cards: list[SubjectEmbedding], net: Path
) -> tuple[Picture, Again]:
    """A picture of each task, and what draws it again."""
    painted = Image.linear_gradient("L").resize((PIXELS, PIXELS))
    if request.param == "generate":
        asked = GenerateRequest(category="dog", prompt="on a beach", count=1, steps=2)
        return next(one for one in studio.run(asked, cards[0]) if isinstance(one, Picture)), studio.repeat
    if request.param == "edit":
        swap = EditRequest(source="dog", target="tiger", prompt="on a beach", steps=2)
        events = run_edit(studio, swap, cards[1], mask=painted)
        return next(one.after for one in events if isinstance(one, Edited)), lambda told: repeat_edit(studio, told)
    if request.param == "scene":
        scene = SceneRequest(prompt="a {dog} and a {tiger} on a beach", steps=2, count=1)
        places = (painted, painted.point(lambda level: 255 - level))
        placed = [Placed(card.category, card, place) for card, place in zip(cards, places, strict=True)]
        found = [one for one in draw_scene(studio, scene, placed) if isinstance(one, Picture)]
        return found[0], lambda told: repeat_scene(studio, told)
    if request.param == "blend":
        path = BlendRequest(prompt="on a beach", steps=2, frames=3)
        frames = [one.picture for one in blend(studio, path, cards) if isinstance(one, Frame)]
        return frames[1], lambda told: repeat_blend(studio, told)
    control = ControlSettings(control=str(net), preprocessor="tile", map_settings={"factor": 2})
    drawing = GenerateRequest(category="dog", prompt="on a beach", count=1, steps=2)
    style = StylizeRequest(drawing=drawing, controls=(control,))
    stylist = Stylist(studio)
    return next(one for one in stylist.run(style, cards[0], [painted]) if isinstance(one, Picture)), stylist.repeat


def test_damaged_metadata(made: tuple[Picture, Again], fuzz: Fuzz, tmp_path: Path) -> None:
    picture, again = made
    whole = json.loads(json.dumps(picture.metadata()))

    def read(told: Any) -> None:
        info = PngInfo()
        info.add_text("blipdiff", json.dumps(told))
        picture.image.save(tmp_path / "a.png", pnginfo=info)
        found = read_metadata(tmp_path / "a.png")
        if not is_large(found["request"]):
            next(iter(again(found)), None)

    inputs = st.one_of(
        damaged_json(whole), damaged_json(whole["request"]).map(lambda asked: whole | {"request": asked})
    )
    fuzz(inputs, read, share=_SHARE)


def test_damaged_files_with_metadata(studio: Studio, cards: list[SubjectEmbedding], fuzz: Fuzz, tmp_path: Path) -> None:
    asked = GenerateRequest(category="dog", prompt="on a beach", count=1, steps=2)
    picture = next(one for one in studio.run(asked, cards[0]) if isinstance(one, Picture))
    whole = save_picture(picture, tmp_path / "whole.png").read_bytes()

    def read(data: bytes) -> None:
        (tmp_path / "a.png").write_bytes(data)
        found = read_metadata(tmp_path / "a.png")
        if not is_large(found["request"]):
            next(iter(studio.repeat(found)), None)

    fuzz(damaged_bytes(whole), read, content=lambda data: data)


def is_large(request: Mapping[str, Any]) -> bool:
    sides = [request.get(name) for name in ("width", "height")]
    return any(isinstance(side, int) and side > LARGE for side in sides)
