"""Jobs: written down and read again they draw the same, whatever their inputs were; damaged ones are refused."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, PromptError, SubjectError
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.inputs import Input
from pipelines.job import JOB_VERSION, Job, run
from pipelines.metadata import job_of
from pipelines.pictures import Picture
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Result, task_named, tasks
from tests.support.studios import asked, counted, dog, pictures, pixels
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model

SMALL: dict[str, Any] = {"steps": 2, "guidance": 3.0, "seed": 5}


@pytest.fixture(scope="module")
def studio(net: Path) -> Studio:
    return Studio(tiny_model(), folders=[net])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


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


def results(studio: Studio, job: Job) -> list[Result]:
    return [event for event in run(studio, job) if isinstance(event, Result)]


def assert_same(one: Picture, other: Picture) -> None:
    assert np.array_equal(pixels(one), pixels(other))
    assert one.metadata() == other.metadata()


def test_there_is_a_job_of_every_task(net: Path) -> None:
    assert {make(net).task for make in JOBS.values()} == set(tasks()) - {"grid"}  # its pictures are of the jobs inside


@pytest.mark.parametrize("name", JOBS)
def test_a_job_survives_json_and_draws_the_same(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    again = Job.from_json(job.to_json())
    assert again.request == job.request
    assert again.to_json() == job.to_json()
    first, second = results(studio, job), results(studio, again)
    assert len(first) >= 1
    assert [one.name for one in first] == [one.name for one in second]
    for one, other in zip(first, second, strict=True):
        assert_same(one.picture, other.picture)
        assert set(one.beside) == set(other.beside)


@pytest.mark.parametrize("name", JOBS)
def test_every_picture_carries_the_job_that_draws_it_alone(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    for one in results(studio, job):
        kept = job_of(json.loads(json.dumps(one.picture.metadata())))
        assert kept.index == one.picture.index
        if name == "edit, photo":
            kept = kept.completed(source=[photo(1)])
        (again,) = results(studio, kept)
        assert_same(one.picture, again.picture)
        assert (one.name, one.label) == (again.name, again.label)


@pytest.mark.parametrize("name", JOBS)
def test_a_picture_of_no_such_number_is_refused(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    for index in (99, -1):
        with counted(studio.model.unet) as calls, pytest.raises(ConfigError, match="damaged"):
            next(run(studio, replace(job, index=index)))
        assert calls == []


# Inputs


def as_file(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def test_a_subject_may_be_a_path_bytes_a_picture_a_photo_or_a_card(studio: Studio, tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    card = studio.subject([dog()])
    card.save(tmp_path / "dog.safetensors")
    forms: list[Any] = [
        dog(),
        photo(),
        np.asarray(photo()),
        tmp_path / "dog.png",
        str(tmp_path / "dog.png"),
        as_file(photo()),
        Input(photo(), "dog"),
        card,
        tmp_path / "dog.safetensors",
    ]
    wanted, *others = [pictures(run(studio, Job.of(asked(), subject=form)))[0] for form in forms]
    for other in others:
        assert_same(wanted, other)


def structures() -> dict[str, Image.Image]:
    turned = photo(4, (24, 32))
    turned.getexif()[0x0112] = 6  # it lies on its side
    clear = photo(4, (24, 32)).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 12, 12))
    return {
        "RGB": photo(4, (24, 32)),
        "turned": turned,
        "clear": clear,
        "palette": photo(4, (24, 32)).quantize(16),
        "grey": photo(4, (24, 32)).convert("L"),
        "black and white": photo(4, (24, 32)).convert("1"),
        "CMYK": photo(4, (24, 32)).convert("CMYK"),
        "YCbCr": photo(4, (24, 32)).convert("YCbCr"),
        "16 bits": Image.fromarray(np.asarray(photo(4, (24, 32)).convert("L")).astype(np.uint16) * 257),
        "floating": photo(4, (24, 32)).convert("F"),
    }


@pytest.mark.parametrize("kind", structures())
def test_a_structure_of_any_kind_survives_json(kind: str, studio: Studio, net: Path) -> None:
    job = Job.of(replace(style(net), count=1), subject=dog(), structure=structures()[kind])
    (wanted,) = pictures(run(studio, job))
    (again,) = pictures(run(studio, Job.from_json(job.to_json())))
    assert_same(wanted, again)
    assert (wanted.image.width > wanted.image.height) == (kind == "turned")


@pytest.mark.parametrize("form", ["path", "text", "bytes", "array"])
def test_a_structure_may_be_a_path_bytes_or_pixels(form: str, studio: Studio, net: Path, tmp_path: Path) -> None:
    picture = structures()["clear" if form != "array" else "RGB"]
    picture.save(tmp_path / "sofa.png")
    forms: dict[str, Any] = {
        "path": tmp_path / "sofa.png",
        "text": str(tmp_path / "sofa.png"),
        "bytes": as_file(picture),
        "array": np.asarray(picture),
    }
    request = replace(style(net), count=1)
    (wanted,) = pictures(run(studio, Job.of(request, subject=dog(), structure=picture)))
    (found,) = pictures(run(studio, Job.of(request, subject=dog(), structure=forms[form])))
    assert_same(wanted, found)


def strokes() -> Image.Image:
    """White on nothing, as a layer of a painting program."""
    layer = Image.new("RGBA", (PIXELS, PIXELS), (0, 0, 0, 0))
    layer.paste((255, 255, 255, 255), (0, 0, PIXELS // 2, PIXELS))
    return layer


@pytest.mark.parametrize("picture", [painted(), painted().convert("RGB"), painted().convert("1"), strokes()])
@pytest.mark.parametrize("form", ["picture", "path", "bytes", "JSON"])
def test_a_mask_means_the_same_in_every_form(picture: Image.Image, form: str, studio: Studio, tmp_path: Path) -> None:
    picture.save(tmp_path / "mask.png")
    forms: dict[str, Any] = {"picture": picture, "path": tmp_path / "mask.png", "bytes": as_file(picture)}
    request = edit(from_prompt=True, mask_use="alone")
    job = Job.of(request, mask=forms.get(form, picture))
    if form == "JSON":
        job = Job.from_json(job.to_json())
    (wanted,) = pictures(run(studio, Job.of(request, mask=painted())))
    (found,) = pictures(run(studio, job))
    assert_same(wanted, found)


def test_a_path_in_a_job_is_read_only_where_it_may_be(studio: Studio, tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    text = Job.of(asked(), subject=tmp_path / "dog.png").to_json()
    with pytest.raises(ConfigError, match="a file of the machine that it is run on; send the file itself"):
        Job.from_json(text)
    again = Job.from_json(text, paths=True)
    assert again.given("subject")[0].content == tmp_path / "dog.png"
    with pytest.raises(ConfigError, match="a file of the machine"):
        Job.from_json(json.dumps({**json.loads(text), "inputs": {"subject": [{"mask": {"path": "/etc/passwd"}}]}}))


def test_inputs_that_the_task_does_not_take_are_refused() -> None:
    with pytest.raises(ConfigError, match="generate takes no source; it takes: subject"):
        Job.of(asked(), source=photo())
    with pytest.raises(ConfigError, match="No task takes a str"):
        Job.of("dog")
    assert Job.of(asked(), subject=[None]).given("subject") == ()


@pytest.mark.parametrize(
    ("job", "kind", "says"),
    [
        (lambda: Job.of(asked()), SubjectError, "No subject was given"),
        (lambda: Job.of(asked(), subject="none.png"), ImageError, "none.png"),
        (lambda: Job.of(asked(), subject=b"hello"), ImageError, "the subject's photo"),
        (lambda: Job.of(asked(), subject=5), ImageError, "int"),
        (lambda: Job.of(BlendRequest(), subject=[photo(), dog()]), PromptError, "category"),
        (lambda: Job.of(edit()), ConfigError, "There is no source"),
        (lambda: Job.of(edit(from_prompt=True), source=photo()), ConfigError, "one source"),
        (lambda: Job.of(edit(), source=dog()), ImageError, "'dog' is a subject; a picture was expected"),
        (lambda: Job.of(edit(), source=photo(), mask=[painted()] * 2), ConfigError, "2 given, at most 1"),
        (lambda: Job.of(edit(), source=photo(), mask=b""), ImageError, "the mask"),
        (lambda: Job.of(BlendRequest(), subject=dog()), SubjectError, "1 was given"),
        (lambda: Job.of(SceneRequest(prompt="a {cat}"), subject=Input(dog(), "dog")), PromptError, "no {dog}"),
    ],
)
def test_what_is_wrong_with_inputs_is_said_without_a_model(
    job: Callable[[], Job], kind: type[BlipdiffError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        job().opened()


def test_opening_reads_everything_once_and_changes_nothing(tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    job = Job.of(asked(), subject=tmp_path / "dog.png")
    opened = job.opened()
    assert isinstance(opened.given("subject")[0].reference, SubjectPhoto)
    assert opened.given("subject")[0].word == "dog"
    (tmp_path / "dog.png").unlink()
    assert opened.opened().as_mapping() == opened.as_mapping()
    assert job.given("subject")[0].content == tmp_path / "dog.png"


# Pictures that are not kept


def kept_without_photo(studio: Studio) -> Job:
    (made,) = pictures(run(studio, Job.of(edit(), source=Input(photo(1), "sofa"), subject=tiger())))
    return job_of(json.loads(json.dumps(made.metadata())))


def test_a_picture_that_is_not_kept_is_given_again_in_any_form(studio: Studio, tmp_path: Path) -> None:
    kept = kept_without_photo(studio)
    with pytest.raises(ConfigError, match="'sofa' is not kept in the job; give it again"):
        next(run(studio, kept))
    photo(1).save(tmp_path / "other-name.png")
    forms: list[Any] = [photo(1), tmp_path / "other-name.png", as_file(photo(1)), np.asarray(photo(1))]
    first, *others = [pictures(run(studio, kept.completed(source=[form])))[0] for form in forms]
    for other in others:
        assert_same(first, other)


def test_other_pictures_than_those_that_are_missing_are_refused(studio: Studio) -> None:
    kept = kept_without_photo(studio)
    with pytest.raises(ConfigError, match="made of the photo sofa, which is not in its metadata; give that one too"):
        kept.completed()
    with pytest.raises(ConfigError, match="is not the picture sofa that the picture was made of: its pixels differ"):
        kept.completed(source=[photo(2)])
    with pytest.raises(ConfigError, match="give that one too"):
        kept.completed(source=[photo(1), photo(1)])
    with pytest.raises(ConfigError, match="without a mask of its own; leave that out"):
        kept.completed(source=[photo(1)], mask=[painted()])
    with pytest.raises(ImageError):
        kept.completed(source=[b"hello"])
    whole = Job.of(asked(), subject=dog())
    assert whole.completed().as_mapping() == whole.as_mapping()
    with pytest.raises(ConfigError, match="takes no source"):
        whole.completed(source=[photo()])


# What is no job


def told(**changes: Any) -> str:
    return json.dumps(Job.of(asked(), subject=dog()).as_mapping() | changes, sort_keys=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        "[" * 100_000,
        "9" * 5000,
        '{"version": NaN}',
        told(version=None),
        told(version=True),
        told(version=0),
        told(version="1"),
        told(version=1.5),
        told(task=None),
        told(task=["generate"]),
        told(request=None),
        told(request=[]),
        told(request={"category": "dog", "surprise": 1}),
        told(request={}),
        told(inputs=None),
        told(inputs=[]),
        told(inputs={"weather": []}),
        told(inputs={"subject": {}}),
        told(inputs={"subject": [5]}),
        told(inputs={"subject": [{"word": 5}]}),
        told(inputs={"subject": [{"weight": "1"}]}),
        told(inputs={"subject": [{"box": [0, 1]}]}),
        told(inputs={"subject": [{"box": [0, 0, 1, "1"]}]}),
        told(inputs={"subject": [{"mask": 5}]}),
        told(inputs={"subject": [{"picture": "hello"}]}),
        told(inputs={"subject": [{"picture": 5}]}),
        told(inputs={"subject": [{"file": "no base64!"}]}),
        told(inputs={"subject": [{"file": 5}]}),
        told(inputs={"subject": [{"rows": "aGVsbG8="}]}),
        told(index="0"),
        told(index=True),
        told(detail=5),
        told(model=5),
    ],
    ids=lambda text: text[:30],
)
def test_a_damaged_job_is_refused(text: str) -> None:
    with pytest.raises(BlipdiffError):
        Job.from_json(text).opened()


def test_a_job_of_a_newer_version_or_an_unknown_task_says_so() -> None:
    with pytest.raises(ConfigError, match=f"is of version {JOB_VERSION + 1}; this blipdiff reads up to {JOB_VERSION}"):
        Job.from_json(told(version=JOB_VERSION + 1))
    with pytest.raises(ConfigError, match="There is no task 'paint'; choose one of: generate, "):
        Job.from_json(told(task="paint"))
    with pytest.raises(ConfigError, match="no task"):
        task_named("")


def test_a_job_for_another_model_is_refused_before_anything_is_drawn(studio: Studio) -> None:
    (made,) = pictures(run(studio, Job.of(asked(), subject=dog())))
    job = job_of(made.metadata())
    assert job.model == made.model
    other = Studio(tiny_model(1))
    with counted(other.model.unet) as calls, pytest.raises(ConfigError, match="was made by the model tiny"):
        next(run(other, job))
    assert calls == []
