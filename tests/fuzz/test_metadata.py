"""Damaged metadata of pictures and damaged jobs, on the whole way up to the first step."""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.inputs import Input
from pipelines.job import Job, run
from pipelines.metadata import read_metadata, repeat
from pipelines.pictures import Picture, save_picture
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes, damaged_json, damaged_text
from tests.support.studios import pictures
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model

LARGE = 4 * PIXELS  # what is wider is asked for rightly, and draws for longer than there is time
_SHARE = 0.5
RECORDED = Path(__file__).parents[1] / "recorded"
EARLIER = sorted((RECORDED / "pictures").glob("*.png"))
SOURCE = Path(str(files("blipdiff"))) / "assets" / "subjects" / "croissant.png"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture(scope="module")
def studio(net: Path) -> Studio:
    return Studio(tiny_model(), folders=[net])


@pytest.fixture(scope="module")
def earlier_studio() -> Studio:
    model = RECORDED / "parity" / "blipdiffusion-controlnet-tiny"
    return Studio.open(model, device="cpu", dtype="float32", folders=[model])


@pytest.fixture(scope="module")
def cards(studio: Studio) -> list[SubjectEmbedding]:
    return studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(("dog", "tiger"))])


@pytest.fixture(params=["generate", "attend", "edit", "edit, photo", "scene", "blend", "stylize"])
def job(request: pytest.FixtureRequest, cards: list[SubjectEmbedding], net: Path) -> Job:
    """A job of each task."""
    painted = Image.linear_gradient("L").resize((PIXELS, PIXELS))
    asked: dict[str, Any] = {"prompt": "on a beach", "steps": 2}
    control = ControlSettings(control=str(net), preprocessor="tile", map_settings={"factor": 2})
    if request.param == "generate":
        return Job.of(GenerateRequest(category="dog", count=1, **asked), subject=cards[0])
    if request.param == "attend":
        return Job.of(AttendRequest(category="dog", **asked), subject=cards[0])
    if request.param == "edit":
        swap = EditRequest(source="dog", target="tiger", from_prompt=True, controls=(control,), **asked)
        return Job.of(swap, subject=cards[1], mask=painted, structure=painted)
    if request.param == "edit, photo":
        swap = EditRequest(source="dog", target="tiger", **asked)
        return Job.of(swap, subject=cards[1], mask=painted, source=photo(1, (PIXELS, PIXELS)))
    if request.param == "scene":
        scene = SceneRequest(prompt="a {dog} and a {tiger} on a beach", steps=2)
        masks = (painted, painted.point(lambda level: 255 - level))
        placed = [Input(card, card.category, mask=Input(mask)) for card, mask in zip(cards, masks, strict=True)]
        return Job.of(scene, subject=placed)
    if request.param == "blend":
        return Job.of(BlendRequest(frames=3, film=("none",), **asked), subject=cards)
    style = StylizeRequest(category="dog", count=1, controls=(control,), **asked)
    return Job.of(style, subject=cards[0], structure=painted)


def picture_with(told: Any, picture: Image.Image, path: Path) -> Path:
    info = PngInfo()
    info.add_text("blipdiff", json.dumps(told))
    picture.save(path, pnginfo=info)
    return path


def begin(studio: Studio, job: Job) -> None:
    """Everything up to the first step."""
    job.opened()
    if not is_large(job):
        next(iter(run(studio, job)), None)


def is_large(job: Job) -> bool:
    sides = [getattr(job.request, name) for name in ("width", "height")]
    return any(side is not None and side > LARGE for side in sides)


def one_picture(studio: Studio, job: Job) -> Picture:
    found = pictures(run(studio, job))
    return found[len(found) // 2]


def test_damaged_metadata(job: Job, studio: Studio, fuzz: Fuzz, tmp_path: Path) -> None:
    picture = one_picture(studio, job)
    whole = json.loads(json.dumps(picture.metadata()))
    source = [photo(1, (PIXELS, PIXELS))] if job.given("source") else []

    def read(told: Any) -> None:
        found = repeat(picture_with(told, picture.image, tmp_path / "a.png"))
        begin(studio, found.completed(**({"source": source} if source else {})))

    fuzz(parts_damaged(whole, ("job", "request"), ("job", "inputs"), ("job", "detail")), read, share=_SHARE)


def test_damaged_jobs(job: Job, studio: Studio, fuzz: Fuzz) -> None:
    whole = json.loads(job.to_json())
    texts = parts_damaged(whole, ("request",), ("inputs",)).map(json.dumps)
    fuzz(
        st.one_of(texts, texts, texts, damaged_text(whole).map(lambda data: data.decode("utf-8", "replace"))),
        lambda text: begin(studio, Job.from_json(text)),
        content=lambda text: text.encode("utf-8", "replace"),
        share=_SHARE,
    )


@pytest.mark.parametrize("path", EARLIER, ids=lambda path: path.stem)
def test_damaged_metadata_of_version_1(path: Path, earlier_studio: Studio, fuzz: Fuzz, tmp_path: Path) -> None:
    whole = read_metadata(path)
    with Image.open(path) as picture:
        pixels = picture.convert("RGB")

    def read(told: Any) -> None:
        found = repeat(picture_with(told, pixels, tmp_path / "a.png"))
        begin(earlier_studio, found.completed(source=[SOURCE]) if "photo" in path.stem else found)

    fuzz(parts_damaged(whole, ("request",)), read, share=_SHARE)


def parts_damaged(whole: Mapping[str, Any], *places: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """A JSON value with damage anywhere, or in the parts at these places, which most of it would miss otherwise."""

    def put(value: Any, place: tuple[str, ...], part: Any) -> Any:
        return {**value, place[0]: put(value[place[0]], place[1:], part)} if place else part

    def at(place: tuple[str, ...]) -> Any:
        value: Any = whole
        for key in place:
            value = value.get(key)
        return value

    kinds: Iterator[st.SearchStrategy[Any]] = (
        damaged_json(at(place)).map(lambda part, place=place: put(whole, place, part))  # type: ignore[misc]
        for place in places
        if at(place)
    )
    return st.one_of(damaged_json(whole), *kinds)


def test_damaged_files_with_metadata(studio: Studio, cards: list[SubjectEmbedding], fuzz: Fuzz, tmp_path: Path) -> None:
    asked = GenerateRequest(category="dog", prompt="on a beach", count=1, steps=2)
    picture = one_picture(studio, Job.of(asked, subject=cards[0]))
    whole = save_picture(picture, tmp_path / "whole.png").read_bytes()

    def read(data: bytes) -> None:
        (tmp_path / "a.png").write_bytes(data)
        begin(studio, repeat(tmp_path / "a.png"))

    fuzz(damaged_bytes(whole), read, content=lambda data: data)
