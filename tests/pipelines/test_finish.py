"""Finishing pictures on a tiny model: enlarged, drawn anew in a region, without their background."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, PromptError, SubjectError
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
from pipelines.job import Job
from pipelines.metadata import job_of, read_metadata
from pipelines.pictures import SOURCE_TYPE, save_picture
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Result
from tests.support.jobs import notices_in, pixels_of, repeated, results_in, results_of
from tests.support.studios import asked, dog, events_of_job
from tests.support.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def drawn(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of ours."""
    request = asked(seed=5, steps=2, negative="snow", guidance=3.0)
    return saved(results_of(studio, request, subject=dog())[0], tmp_path_factory.mktemp("drawn") / "mine.png")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White in the left upper quarter."""
    return painted((0, 0, PIXELS // 2 - 1, PIXELS // 2 - 1), tmp_path / "mask.png")


def painted(box: tuple[int, int, int, int], path: Path) -> Path:
    picture = Image.new("L", (PIXELS, PIXELS))
    ImageDraw.Draw(picture).rectangle(box, fill=255)
    picture.save(path)
    return path


def saved(result: Result, path: Path) -> Path:
    return save_picture(result.picture, path)


def upscaled(studio: Studio, picture: Any, **changes: Any) -> list[Result]:
    return results_of(studio, UpscaleRequest(**{"steps": 4, **changes}), picture=picture)


def redrawn(studio: Studio, picture: Any, mask: Any, **changes: Any) -> list[Result]:
    inputs = {name: changes.pop(name) for name in ("subject", "structure") if name in changes}
    return results_of(studio, RedrawRequest(**{"steps": 4, **changes}), picture=picture, mask=mask, **inputs)


def test_a_picture_is_enlarged_by_its_own_subject_and_words(studio: Studio, drawn: Path) -> None:
    (result,) = upscaled(studio, drawn, seed=3)
    assert result.picture.image.size == (2 * PIXELS, 2 * PIXELS)
    assert result.name == "mine-x2-3"
    told = {name: result.picture.request[name] for name in ("category", "prompt", "negative", "guidance")}
    assert told == {"category": "dog", "prompt": "on a beach", "negative": "snow", "guidance": 3.0}
    job = job_of(result.picture.metadata())
    own = job_of(read_metadata(drawn)).given("subject")[0].reference
    assert np.array_equal(job.given("subject")[0].reference.tokens, own.tokens)
    other = upscaled(studio, drawn, seed=3, prompt="in the snow")[0]
    assert not np.array_equal(pixels_of(result), pixels_of(other))


@pytest.mark.parametrize(("times", "strength"), [(1.5, 0.3), (2.0, 1.0)])
def test_an_enlarged_picture_repeats_from_its_file(studio: Studio, drawn: Path, times: float, strength: float) -> None:
    results = upscaled(studio, drawn, times=times, strength=strength, count=2)
    assert {result.picture.image.size for result in results} == {(round(times * PIXELS),) * 2}
    (again,) = repeated(studio, results[1].picture.metadata())
    assert np.array_equal(pixels_of(again), pixels_of(results[1]))


def test_less_redrawing_stays_nearer_and_plain_is_resampling_alone(studio: Studio, drawn: Path) -> None:
    plain = upscaled(studio, drawn, method="plain")[0]
    with Image.open(drawn) as picture:
        larger = picture.convert("RGB").resize((2 * PIXELS, 2 * PIXELS), Image.Resampling.LANCZOS)
    assert np.array_equal(pixels_of(plain), np.asarray(larger))
    assert plain.picture.seed == 5
    away = [
        np.abs(pixels_of(upscaled(studio, drawn, strength=strength, steps=10)[0]).astype(int) - pixels_of(plain)).mean()
        for strength in (0.1, 1.0)
    ]
    assert away[0] < away[1]


def test_a_region_is_drawn_anew_and_no_pixel_outside_changes(studio: Studio, drawn: Path, mask: Path) -> None:
    first, second = redrawn(studio, drawn, mask, seed=8, count=2, batch=1)
    before = pixels_of(replace(first, picture=first.beside["before"]))
    inside = np.asarray(Image.open(mask)) > 0
    for one in (first, second):
        assert np.array_equal(pixels_of(one)[~inside], before[~inside])
        assert not np.array_equal(pixels_of(one)[inside], before[inside])
    assert not np.array_equal(pixels_of(first), pixels_of(second))
    (again,) = repeated(studio, second.picture.metadata())
    assert np.array_equal(pixels_of(again), pixels_of(second))


def test_a_region_follows_the_structure_of_its_picture(studio: Studio, mask: Path, tmp_path: Path) -> None:
    net = tmp_path / "controlnet"
    tiny_controlnet().save_pretrained(net)
    request = StylizeRequest(
        category="dog", count=1, steps=2, controls=(ControlSettings(control=str(net), preprocessor="tile"),)
    )
    made = results_of(studio, request, subject=dog(), structure=photo(3, (PIXELS, PIXELS)))[0]
    path = saved(made, tmp_path / "styled.png")
    followed = Studio(studio.model, folders=[tmp_path])
    (result,) = redrawn(followed, path, mask, seed=9)
    assert [one["control"] for one in result.picture.request["controls"]] == ["controlnet"]
    own = read_metadata(path)["job"]["inputs"]["map"]
    assert result.picture.job["inputs"]["map"] == own


def test_a_large_picture_is_redrawn_in_tiles(studio: Studio, tmp_path: Path) -> None:
    large = photo(1, (3 * PIXELS, 2 * PIXELS + 3))
    spot = Image.new("L", large.size)
    spot.paste(255, (4, 4, 20, 20))
    (result,) = redrawn(studio, large, spot, prompt="a dog", subject=dog(), category="dog")
    assert result.picture.image.size == large.size
    assert np.array_equal(pixels_of(result)[24:], np.asarray(large)[24:])
    assert "compositeWith" in str(result.picture.source_type), "a photo of which a part is generated"


def own_pictures(studio: Studio) -> dict[str, tuple[Any, dict[str, Any]]]:
    """A picture of each task, and what an enlargement of it should be told."""
    cat = SubjectPhoto(photo(1), "cat")
    pair = [dog(), cat]
    edit = EditRequest(source="dog", target="cat", prompt="on a beach", from_prompt=True, steps=2, category="tiger")
    return {
        "edit": (
            results_of(studio, edit, subject=dog()),
            {"category": "tiger", "target": "cat", "prompt": "on a beach"},
        ),
        "blend": (
            results_of(studio, BlendRequest(shape="one", prompt="on a beach", steps=2), subject=pair),
            {"prompt": "on a beach"},
        ),
        "scene": (
            results_of(
                studio,
                SceneRequest(prompt="a {dog} and a {cat} on a beach", steps=2, count=1, arrange="row"),
                subject=pair,
            ),
            {"category": None, "prompt": "a dog and a cat on a beach"},
        ),
    }


@pytest.mark.parametrize("task", ["edit", "blend", "scene"])
def test_the_words_of_other_tasks_are_told_too(studio: Studio, tmp_path: Path, task: str) -> None:
    results, told = own_pictures(studio)[task]
    (result,) = upscaled(studio, saved(results[0], tmp_path / "own.png"), times=1.5)
    assert {name: result.picture.request[name] for name in told} == told
    subjects = len(result.picture.job["inputs"].get("subject", ()))
    assert subjects == (0 if task == "scene" else 1), "one mixed subject, and a scene's by words alone"
    (again,) = repeated(studio, result.picture.metadata())
    assert np.array_equal(pixels_of(again), pixels_of(result))


def test_bytes_of_a_file_tell_the_same_as_its_path(studio: Studio, drawn: Path) -> None:
    (one,), (other,) = upscaled(studio, drawn, seed=3), upscaled(studio, drawn.read_bytes(), seed=3)
    assert np.array_equal(pixels_of(one), pixels_of(other))


def test_any_picture_is_enlarged_where_words_are_given(studio: Studio) -> None:
    foreign = photo(4, (PIXELS, PIXELS))
    (words,) = upscaled(studio, foreign, prompt="a dog on a beach")
    request = UpscaleRequest(category="dog", prompt="on a beach", steps=4)
    (subject,) = results_of(studio, request, picture=foreign, subject=dog())
    assert not np.array_equal(pixels_of(words), pixels_of(subject))
    with pytest.raises(PromptError, match="does not say what it was made of; give a subject"):
        upscaled(studio, foreign)


def test_what_cannot_be_finished_is_said(studio: Studio, drawn: Path, mask: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.new("L", (3, 3), 255).save(small)
    wrong: list[tuple[type[BlipdiffError], str, Any]] = [
        (ImageError, "The mask is 3 x 3 pixels, the picture 16 x 16", lambda: redrawn(studio, drawn, small)),
        (ImageError, "The mask is empty", lambda: redrawn(studio, drawn, Image.new("L", (PIXELS, PIXELS)))),
        (SubjectError, "No picture was given", lambda: results_of(studio, UpscaleRequest())),
        (ConfigError, "draws at most 16 times", lambda: upscaled(studio, photo(0, (600, 600)), prompt="a dog")),
        (ConfigError, "Scheduler is 'pndm'; choose one of", lambda: UpscaleRequest(scheduler="pndm")),
        (ConfigError, "Trim must be true or false", lambda: RemoveBackgroundRequest(trim=3)),  # type: ignore[arg-type]
    ]
    for kind, told, act in wrong:
        with pytest.raises(kind, match=told):
            act()


def on_white(box: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.new("RGB", (40, 32), "white")
    ImageDraw.Draw(picture).ellipse(box, fill=(200, 30, 30))
    return picture


def test_a_background_is_removed_and_it_is_said_how(studio: Studio) -> None:
    results = results_in(events_of_job(studio, Job.of(RemoveBackgroundRequest(), picture=on_white((8, 6, 30, 26)))))
    (result,) = results
    layers = result.picture.image
    assert (layers.mode, layers.size) == ("RGBA", (40, 32))
    assert layers.getpixel((0, 0)) == (255, 255, 255, 0)
    assert layers.getpixel((18, 15)) == (200, 30, 30, 255)
    assert result.facts["way"] == "plain ground"
    assert result.facts["sure"] is True
    assert 0.25 < result.facts["share"] < 0.35
    assert result.picture.source_type is None, "nothing in it is generated"
    (trimmed,) = results_of(studio, RemoveBackgroundRequest(trim=True), picture=on_white((8, 6, 30, 26)))
    assert trimmed.picture.image.size == (23, 21)
    (again,) = repeated(studio, result.picture.metadata())
    assert np.array_equal(pixels_of(again), pixels_of(result))


def test_a_subject_on_busy_ground_is_found_with_a_word_of_warning(studio: Studio) -> None:
    busy = photo(2, (64, 64))
    ImageDraw.Draw(busy).ellipse((16, 16, 48, 48), fill=(255, 255, 0))
    notices = notices_in(events_of_job(studio, Job.of(RemoveBackgroundRequest(), picture=busy)))
    assert ["look at the edge before you use it" in text for text in notices] == [True]


def test_one_of_our_pictures_stays_marked_as_generated(studio: Studio, drawn: Path) -> None:
    for one in (upscaled(studio, drawn)[0], upscaled(studio, drawn, method="plain")[0]):
        assert one.picture.source_type == SOURCE_TYPE
