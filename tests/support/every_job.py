"""A job of every task, with what goes into them, and a studio that draws them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.pictures import Picture
from pipelines.scene.request import SceneRequest
from pipelines.stylize.request import StylizeRequest
from tests.support.studios import dog, pixels
from tests.support.tiny_models import PIXELS, photo

SMALL: dict[str, Any] = {"steps": 2, "guidance": 3.0, "seed": 5}


def painted(size: tuple[int, int] = (PIXELS, PIXELS)) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


def style(net: Path) -> StylizeRequest:
    control = ControlSettings(control=str(net), preprocessor="tile", map_settings={"factor": 2})
    return StylizeRequest(category="dog", count=2, controls=(control,), **SMALL)


def scene() -> SceneRequest:
    return SceneRequest(prompt="a {dog} and a {tiger}", count=2, **SMALL)


def tiger() -> SubjectPhoto:
    return SubjectPhoto(photo(1), "tiger")


def two() -> list[SubjectPhoto]:
    return [dog(), tiger()]


def on_white() -> Image.Image:
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste((200, 30, 30), (16, 16, 48, 48))
    return picture


def edit(**changes: Any) -> EditRequest:
    return EditRequest(**{"source": "dog", "target": "tiger", **SMALL, **changes})


JOBS: dict[str, Callable[[Path], Job]] = {
    "generate": lambda _net: Job.of(GenerateRequest(category="dog", count=3, batch=2, **SMALL), subject=dog()),
    "generate, mixed": lambda _net: Job.of(
        GenerateRequest(category="dog", count=1, **SMALL),
        subject=[Input(dog(), weight=0.25), Input(dog(1), weight=0.75)],
    ),
    "attend": lambda _net: Job.of(AttendRequest(category="dog", **SMALL), subject=dog()),
    "stylize": lambda net: Job.of(style(net), subject=dog(), structure=photo(4)),
    "edit, photo": lambda _net: Job.of(edit(), source=photo(1), subject=tiger(), mask=painted((40, 32))),
    "edit, prompt": lambda _net: Job.of(edit(from_prompt=True, count=2), mask=painted()),
    "edit, structure": lambda net: Job.of(
        edit(from_prompt=True, controls=style(net).controls), subject=tiger(), structure=photo(4)
    ),
    "blend, path": lambda _net: Job.of(BlendRequest(frames=4, film=("none",), **SMALL), subject=two()),
    "blend, one": lambda _net: Job.of(
        BlendRequest(shape="one", **SMALL), subject=[Input(dog(), weight=1.0), Input(tiger(), weight=3.0)]
    ),
    "blend, map": lambda _net: Job.of(BlendRequest(shape="map", side=2, **SMALL), subject=[*two(), dog(2)]),
    "upscale": lambda _net: Job.of(
        UpscaleRequest(category="dog", prompt="on a beach", times=1.5, steps=3), picture=photo(3), subject=dog()
    ),
    "redraw": lambda _net: Job.of(
        RedrawRequest(category="dog", prompt="on a beach", steps=3),
        picture=photo(3),
        mask=painted((40, 32)),
        subject=dog(),
    ),
    "remove background": lambda _net: Job.of(RemoveBackgroundRequest(), picture=on_white()),
    "scene": lambda _net: Job.of(scene(), subject=[Input(dog(), "dog"), Input(tiger(), "tiger")]),
    "scene, placed": lambda _net: Job.of(
        scene(),
        subject=[
            Input(dog(), "dog", box=(0.0, 0.0, 0.5, 1.0)),
            Input(tiger(), "tiger", mask=Input(painted().transpose(Image.Transpose.FLIP_LEFT_RIGHT))),
        ],
    ),
}


def assert_same(one: Picture, other: Picture) -> None:
    assert np.array_equal(pixels(one), pixels(other))
    assert one.metadata() == other.metadata()
