"""Details read from subjects' photos, in every task on a tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from blipdiff.attention import reference
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, ImageError, SubjectError
from pipelines.blend.request import BlendRequest
from pipelines.edit.request import EditRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.inputs import Input, layers_of
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.metadata import repeat
from pipelines.pictures import save_picture
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from tests.support.jobs import events_of, notices_in, pixels_of, results_in, results_of
from tests.support.studios import counted, state
from tests.support.tiny_models import PIXELS, photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def subject(seed: int = 0, word: str = "dog") -> SubjectPhoto:
    """A colourful disc on nothing."""
    layers = photo(seed, (32, 32)).convert("RGBA")
    alpha = Image.new("L", layers.size)
    ImageDraw.Draw(alpha).ellipse((4, 4, 27, 27), fill=255)
    layers.putalpha(alpha)
    return SubjectPhoto(layers, word)


def generated(**values: object) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog", "prompt": "on a beach", "count": 2, "steps": 3, **values})


def task(name: str, detail: float) -> tuple[object, dict[str, object]]:
    """A request of each task with its inputs."""
    asked = {"steps": 2, "detail": detail}
    dog, tiger = Input(subject(0), "dog"), Input(subject(1, "tiger"), "tiger")
    mask = Image.new("L", (PIXELS, PIXELS))
    mask.paste(255, (4, 4, 12, 12))
    edit = {"source": "dog", "target": "tiger", "prompt": "on a beach", "scheduler": "ddim", **asked, "steps": 4}
    return {
        "generate": (generated(**asked), {"subject": subject()}),
        "several photos": (generated(**asked), {"subject": [Input(subject(0), weight=2), Input(subject(1), weight=1)]}),
        "attend": (AttendRequest(category="dog", prompt="on a beach", **asked), {"subject": subject()}),
        "scene": (SceneRequest(prompt="a {dog} and a {tiger} on a beach", **asked), {"subject": [dog, tiger]}),
        "found": (
            SceneRequest(prompt="a {dog} and a {tiger} on a beach", arrange="found", find_until=0.5, **asked),
            {"subject": [dog, tiger]},
        ),
        "blend": (BlendRequest(shape="path", frames=3, film=("none",), **asked), {"subject": [dog, tiger]}),
        "edit": (EditRequest(from_prompt=True, count=1, **edit), {"subject": tiger}),
        "masked edit": (EditRequest(from_prompt=True, count=1, **edit), {"subject": tiger, "mask": mask}),
        "edited photo": (EditRequest(**edit), {"subject": tiger, "source": photo(5, (PIXELS, PIXELS))}),
    }[name]


TASKS = ("generate", "several photos", "attend", "scene", "found", "blend", "edit", "masked edit", "edited photo")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_reads_details_and_its_pictures_repeat_bit_for_bit(
    studio: Studio, tmp_path: Path, name: str
) -> None:
    plain, (asked, inputs) = results_of(studio, task(name, 0.0)[0], **task(name, 0.0)[1]), task(name, 0.8)
    results = results_of(studio, asked, **inputs)
    assert any((pixels_of(one) != pixels_of(other)).any() for one, other in zip(plain, results, strict=True))
    path = save_picture(results[-1].picture, tmp_path / "picture.png")
    fresh = Studio(studio.model)
    job = repeat(path)
    if "source" in inputs:
        job = job.completed(source=[inputs["source"]])
    (again,) = results_in(run_job(fresh, job))
    assert (pixels_of(again) == pixels_of(results[-1])).all()


def test_without_details_nothing_is_cut_out_kept_or_changed(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.controls.details.cut_out", None)
    before = state(studio.model)
    (result, _) = results_of(studio, generated(), subject=subject())
    kept = result.picture.job["inputs"]["subject"]
    assert [set(one) for one in kept] == [{"word", "rows", "category", "fingerprint"}]
    assert state(studio.model) == before


def test_outside_its_window_a_picture_is_the_plain_one_bit_for_bit(studio: Studio) -> None:
    plain = results_of(studio, generated(), subject=subject())
    given = generated(detail=0.8, detail_start=1.0)
    for one, other in zip(plain, results_of(studio, given, subject=subject()), strict=True):
        assert (pixels_of(one) == pixels_of(other)).all()


def test_the_ends_of_a_blend_are_the_pictures_of_its_subjects(studio: Studio) -> None:
    asked, inputs = task("blend", 0.8)
    first, _, last = results_of(studio, asked, **inputs)
    for end, one in ((first, inputs["subject"][0]), (last, inputs["subject"][1])):
        alone = GenerateRequest(category=one.word, count=1, steps=2, detail=0.8)
        (single,) = results_of(studio, alone, subject=one)
        assert (pixels_of(end) == pixels_of(single)).all()


def test_a_card_carries_what_details_are_read_from(studio: Studio, tmp_path: Path) -> None:
    card, notices = studio.card([subject()])
    assert notices == [] and card.cut_out is not None and card.cut_out.mode == "RGBA"
    loaded = SubjectEmbedding.load(card.save(tmp_path / "dog.safetensors"))
    asked = generated(detail=0.8)
    from_photo, from_card = (results_of(studio, asked, subject=one) for one in (subject(), loaded))
    assert all((pixels_of(a) == pixels_of(b)).all() for a, b in zip(from_photo, from_card, strict=True))


def test_a_card_without_a_photo_goes_on_without_details_and_says_so(studio: Studio, tmp_path: Path) -> None:
    card = SubjectEmbedding.load(studio.subject([subject()]).save(tmp_path / "old.safetensors"))
    assert card.cut_out is None
    events = list(events_of(studio, generated(detail=0.8), subject=card))
    assert "holds no photo" in " ".join(notices_in(events))
    plain = results_of(studio, generated(), subject=card)
    assert all((pixels_of(a) == pixels_of(b)).all() for a, b in zip(plain, results_in(events), strict=True))


def test_a_photo_without_a_subject_is_refused_for_details_and_makes_a_card_without(studio: Studio) -> None:
    empty = SubjectPhoto(Image.new("RGBA", (32, 32), (9, 9, 9, 0)), "dog")
    with pytest.raises(ImageError, match="No subject was found"):
        results_of(studio, generated(detail=0.5), subject=empty)
    card, notices = studio.card([empty])
    assert card.cut_out is None and "keeps no photo" in notices[0]


def test_states_without_room_are_computed_each_step_and_that_is_said(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = generated(detail=0.8)
    kept = list(events_of(studio, asked, subject=subject()))
    with counted(studio.model.unet) as calls:
        again = results_of(studio, asked, subject=subject())
    monkeypatch.setattr(
        reference.ReferenceStates.__init__, "__kwdefaults__", {"most_bytes": 0, "dtype": torch.bfloat16}
    )
    poor = Studio(studio.model)
    with counted(studio.model.unet) as more:
        events = list(events_of(poor, asked, subject=subject()))
    assert len(more) == len(calls) + asked.steps and 1 in more and 1 not in calls
    assert not any("memory" in text for text in notices_in(kept))
    assert any("computed at each step" in text for text in notices_in(events))
    for one in (again, results_in(events)):
        assert all((pixels_of(a) == pixels_of(b)).all() for a, b in zip(results_in(kept), one, strict=True))


def test_attending_shows_where_the_photo_was_read(studio: Studio) -> None:
    asked, inputs = task("attend", 0.8)
    (result,) = results_of(studio, asked, **inputs)
    assert result.detail[-1].word == "its photo"
    assert float(result.detail[-1].heat.max()) == 1
    assert all(one.word != "its photo" for one in results_of(studio, *task("attend", 0.0)[:1], **inputs)[0].detail)


def test_an_edit_reads_details_inside_its_mask_alone(studio: Studio) -> None:
    asked, inputs = task("masked edit", 0.8)
    (result,) = results_of(studio, asked, **inputs)
    (plain,) = results_of(studio, task("masked edit", 0.0)[0], **inputs)
    outside = np.asarray(inputs["mask"]) == 0
    before = np.asarray(plain.beside["before"].image).astype(int)
    assert np.abs(before - np.asarray(result.beside["before"].image)).max() <= 2  # the source row reads nothing
    assert (pixels_of(result) != pixels_of(plain))[~outside].any()


def test_a_cut_out_that_is_damaged_is_named(studio: Studio, tmp_path: Path) -> None:
    card, _ = studio.card([subject()])
    told = Job.of(generated(), subject=card).as_mapping()
    told["inputs"]["subject"][0]["cut_out"] = "no picture"
    with pytest.raises(ConfigError, match="cut-out cannot be read"):
        Job.from_mapping(told)
    opaque = SubjectEmbedding(card.tokens, "dog", fingerprint=card.fingerprint, cut_out=photo())
    with pytest.raises(SubjectError, match="no transparency"):
        SubjectEmbedding.load(opaque.save(tmp_path / "opaque.safetensors"))


@pytest.mark.parametrize("size", [(32, 16), (16, 48)])
def test_details_are_read_at_any_size(studio: Studio, size: tuple[int, int]) -> None:
    asked = generated(detail=0.8, width=size[0], height=size[1], count=1)
    (result,) = results_of(studio, asked, subject=subject())
    assert result.picture.image.size == size


def left_half(size: tuple[int, int] = (32, 32)) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


def test_a_cut_out_that_was_corrected_travels_with_the_job_and_is_what_is_read(studio: Studio, tmp_path: Path) -> None:
    asked, image = generated(detail=0.8), photo(0, (32, 32))
    own, corrected = Input(subject(), "dog"), Input(image, "dog", cut_out_mask=Input(left_half()))
    job = Job.from_json(Job.of(asked, subject=corrected).to_json())
    results = results_in(run_job(studio, job))
    kept = results[0].picture.job["inputs"]["subject"][0]
    alpha = layers_of(kept["cut_out"], "it").getchannel("A")
    assert alpha.size == (8, 16) and alpha.getextrema()[0] > 127, "the half that was painted, and no more"
    others = results_of(studio, asked, subject=own)
    assert any((pixels_of(a) != pixels_of(b)).any() for a, b in zip(results, others, strict=True))
    again = results_in(run_job(studio, repeat(save_picture(results[-1].picture, tmp_path / "picture.png"))))
    assert (pixels_of(again[0]) == pixels_of(results[-1])).all()
    plain = [results_of(studio, generated(), subject=one) for one in (corrected, Input(image, "dog"))]
    assert (pixels_of(plain[0][0]) == pixels_of(plain[1][0])).all(), "without details it says nothing"


def test_a_job_whose_inputs_were_opened_still_tells_the_cut_out() -> None:
    job = Job.of(generated(), subject=SubjectPhoto(photo(0, (32, 32)), "dog", left_half())).opened()
    again = Job.from_json(job.to_json()).opened()
    mask = again.given("subject")[0].reference.mask  # type: ignore[union-attr]
    assert mask is not None and mask.tobytes() == left_half().tobytes()


def test_a_corrected_cut_out_makes_the_card(studio: Studio) -> None:
    card, notices = studio.card([SubjectPhoto(photo(0, (32, 32)), "dog", left_half())])
    assert card.cut_out is not None and (card.cut_out.size, notices) == ((16, 32), [])
    with pytest.raises(SubjectError, match="is a subject card"):
        Input(card, cut_out_mask=Input(left_half())).opened("subject")
