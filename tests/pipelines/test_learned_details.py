"""A model that learned to read photos does so unless it is told not to, in every face."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ImageError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.detail_adapter import places_of
from blipdiff.sampling.adapted import frame_of
from blipdiff.training.details import initial_adapter
from pipelines.batches import draw
from pipelines.diffusers_pipeline.pipeline import BlipDiffusionPipeline
from pipelines.finish.request import UpscaleRequest
from pipelines.generate.request import GenerateRequest
from pipelines.generate.together import prepare_together
from pipelines.job import Job, run
from pipelines.metadata import repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from tests.pipelines.test_details import TASKS, task
from tests.support.jobs import events_of, notices_in, pixels_of, results_in, results_of
from tests.support.tiny_models import photo, tiny_model

OWN = 0.6  # what the model reads unasked
NOTHING = Image.new("RGBA", (32, 32))  # in which no subject stands out


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    plain = tiny_model()
    adapter = initial_adapter(plain.unet, seed=3).eval().requires_grad_(False)
    for layer in adapter.layers.values():
        layer.to_out.weight.copy_(torch.eye(len(layer.to_out.weight)))  # type: ignore[union-attr, arg-type, operator]
    adapter.detail = OWN
    return replace(plain, detail_adapter=adapter)


@pytest.fixture(scope="module")
def studio(model: BlipDiffusion) -> Studio:
    return Studio(model)


def subject(seed: int = 0) -> SubjectPhoto:
    layers = photo(seed, (32, 32)).convert("RGBA")
    alpha = Image.new("L", layers.size)
    alpha.paste(255, (6, 4, 27, 27))
    layers.putalpha(alpha)
    return SubjectPhoto(layers, "dog")


def asked(**values: object) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3, "seed": 5, **values})


def test_it_reads_as_much_as_the_model_says_where_nobody_does(studio: Studio, tmp_path: Path) -> None:
    (usual,), (same,) = (results_of(studio, asked(**more), subject=subject()) for more in ({}, {"detail": OWN}))
    (none,), (full,) = (results_of(studio, asked(detail=share), subject=subject()) for share in (0.0, 1.0))
    assert (pixels_of(usual) == pixels_of(same)).all() and (pixels_of(usual) != pixels_of(none)).any()
    assert (pixels_of(usual) != pixels_of(full)).any() and usual.picture.job["request"]["detail"] == OWN
    (again,) = results_in(run(studio, repeat(save_picture(usual.picture, tmp_path / "a.png"))))
    assert (pixels_of(again) == pixels_of(usual)).all()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_reads_by_it_and_its_pictures_repeat_bit_for_bit(studio: Studio, tmp_path: Path, name: str) -> None:
    (plain, given), (read, _) = task(name, 0.0), task(name, 1.0)
    without, found = (results_of(studio, one, **given) for one in (plain, read))
    assert any((pixels_of(one) != pixels_of(other)).any() for one, other in zip(without, found, strict=True))
    path = save_picture(found[-1].picture, tmp_path / "picture.png")
    job = repeat(path)
    job = job.completed(source=[given["source"]]) if "source" in given else job
    again = results_in(run(Studio(studio.model), job))
    assert (pixels_of(again[-1]) == pixels_of(found[-1])).all()


def test_a_subject_fills_its_region_as_a_picture_of_its_own() -> None:
    whole = places_of(8, 16, frame=(0.0, 0.5, 1.0, 1.0)).view(8, 16, 2)
    assert torch.allclose(whole[:, 8:], places_of(8, 8).view(8, 8, 2))
    mask = torch.zeros(8, 16)
    mask[:, 8:] = 1
    assert frame_of(mask) == (0.0, 0.5, 1.0, 1.0) and frame_of(torch.zeros(8, 16)) is None


def test_a_picture_drawn_further_in_tiles_reads_nothing(studio: Studio) -> None:
    (made,) = results_of(studio, asked(), subject=subject())
    large = made.picture.image.resize((64, 64))
    asked_for = UpscaleRequest(category="dog", strength=0.3, steps=4, detail=1.0)
    (one,), (other,) = (
        results_of(studio, replace(asked_for, detail=detail), picture=large, subject=subject()) for detail in (0.0, 1.0)
    )
    assert (pixels_of(one) == pixels_of(other)).all()


def test_without_details_it_is_the_model_without_an_adapter(model: BlipDiffusion, studio: Studio) -> None:
    (none,) = results_of(studio, asked(detail=0.0), subject=subject())
    (plain,) = results_of(Studio(replace(model, detail_adapter=None)), asked(), subject=subject())
    assert (pixels_of(none) == pixels_of(plain)).all()
    assert plain.picture.job["request"]["detail"] == 0.0


def test_nothing_is_read_unasked_where_another_thing_is_drawn_in_its_look(studio: Studio) -> None:
    (teapot,), (none,) = (
        results_of(studio, asked(target="teapot", **more), subject=subject()) for more in ({}, {"detail": 0.0})
    )
    assert teapot.picture.job["request"]["detail"] == 0.0 and (pixels_of(teapot) == pixels_of(none)).all()
    (read,) = results_of(studio, asked(target="teapot", detail=0.7), subject=subject())
    assert (pixels_of(read) != pixels_of(none)).any()


def test_where_no_subject_stands_out_it_goes_on_and_says_so(model: BlipDiffusion, studio: Studio) -> None:
    flat = SubjectPhoto(NOTHING, "dog")
    notices = notices_in(events_of(studio, asked(), subject=flat))
    assert any(text.startswith("No details are read of a photo: ") for text in notices)
    with pytest.raises(ImageError):
        results_of(Studio(replace(model, detail_adapter=None)), asked(detail=0.5), subject=flat)


def test_a_subject_on_uneven_ground_is_told_to_be_encoded_with_it(studio: Studio) -> None:
    ground = Image.effect_noise((64, 64), 90).convert("RGB")
    ground.paste("red", (20, 20, 44, 44))
    uneven = SubjectPhoto(ground, "dog")
    alone, whole = (notices_in(events_of(studio, asked(fit=fit), subject=uneven)) for fit in ("cut-out", "pad"))
    assert any("--fit cut-out" in text for text in whole) and not any("--fit cut-out" in text for text in alone)
    assert any("by its colours alone" in text for text in alone)


def test_rows_of_one_batch_read_each_its_own_photo(studio: Studio) -> None:
    jobs = [Job.of(asked(seed=seed), subject=subject(seed)).opened() for seed in (1, 2)]
    together = results_in(draw(studio, prepare_together(studio, jobs)))
    for job, found in zip(jobs, together, strict=True):
        (alone,) = results_of(studio, job.request, subject=subject(job.request.seed))
        assert abs(pixels_of(found).astype(int) - pixels_of(alone)).max() <= 1
        (blind,) = results_of(studio, replace(job.request, detail=0.0), subject=subject(job.request.seed))
        assert abs(pixels_of(found).astype(int) - pixels_of(blind)).max() > 1


def test_the_diffusers_face_reads_as_the_others_do(model: BlipDiffusion, studio: Studio, tmp_path: Path) -> None:
    pipe = BlipDiffusionPipeline.from_model(model)
    pipe.set_progress_bar_config(disable=True)
    shared = {"prompt": "on a beach", "source_subject_category": "dog", "num_inference_steps": 3, "output_type": "pt"}

    def made(face: BlipDiffusionPipeline, **more: object) -> torch.Tensor:
        generator = torch.Generator().manual_seed(5)
        return face(**shared, **{"reference_image": subject().image, **more}, generator=generator).images

    assert torch.equal(made(pipe), made(pipe, reference_detail=OWN))
    assert not torch.equal(made(pipe), made(pipe, reference_detail=0.0))
    other = {"target_subject_category": "teapot"}
    assert torch.equal(made(pipe, **other), made(pipe, **other, reference_detail=0.0))
    assert torch.equal(made(pipe, reference_image=NOTHING), made(pipe, reference_image=NOTHING, reference_detail=0.0))
    assert torch.equal(made(BlipDiffusionPipeline(**pipe.components)), made(pipe))
    pipe.save_pretrained(tmp_path / "model")
    again = BlipDiffusionPipeline.from_pretrained(tmp_path / "model", torch_dtype=torch.float32)
    again.set_progress_bar_config(disable=True)
    assert torch.allclose(made(again), made(pipe), atol=1e-5)
