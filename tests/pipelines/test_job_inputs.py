"""Inputs of jobs: the same in every form, and what is wrong with them is said before a model is asked."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, PromptError, SubjectError
from pipelines.blend.request import BlendRequest
from pipelines.inputs import Input
from pipelines.job import Job, run
from pipelines.metadata import job_of
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from tests.support.every_job import assert_same, edit, painted, style, tiger
from tests.support.studios import asked, dog, pictures
from tests.support.tiny_models import PIXELS, photo

pytest_plugins = ["tests.support.job_fixtures"]


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
