"""A subject that is encoded alone: what surrounds it in its photo leaves no trace."""

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ImageError
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.diffusers_pipeline.pipeline import BlipDiffusionPipeline
from pipelines.generate.request import GenerateRequest
from pipelines.studio import Studio
from tests.support.jobs import pixels_of, results_of
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def mask(box: tuple[int, int, int, int] = (6, 4, 27, 27)) -> Image.Image:
    shown = Image.new("L", (32, 32))
    shown.paste(255, box)
    return shown


def on(ground: str) -> Image.Image:
    picture = Image.new("RGB", (32, 32), ground)
    picture.paste(photo(0, (32, 32)), mask=mask())
    return picture


def tokens(model: BlipDiffusion, image: Image.Image, shown: Image.Image | None = None) -> torch.Tensor:
    return model.encode_subject(SubjectPhoto(image, "dog", shown), fit="cut-out").tokens


def test_the_ground_has_no_part_in_the_subject(model: BlipDiffusion) -> None:
    red, green = (tokens(model, on(ground), mask()) for ground in ("red", "green"))
    assert torch.equal(red, green)
    plain = [model.encode_subject(SubjectPhoto(on(ground), "dog"), fit="pad").tokens for ground in ("red", "green")]
    assert not torch.equal(*plain)
    layers = on("red").convert("RGBA")
    layers.putalpha(mask())
    assert torch.equal(tokens(model, layers), red)


def test_a_photo_without_a_subject_is_refused_in_a_sentence(model: BlipDiffusion) -> None:
    with pytest.raises(ImageError, match="No subject was found"):
        tokens(model, Image.new("RGBA", (32, 32)))


def test_a_studio_remembers_the_same_photo_under_two_masks_apart(model: BlipDiffusion) -> None:
    studio = Studio(model)
    one, other, again = (
        studio.subject([SubjectPhoto(on("red"), "dog", mask(box))], fit="cut-out").tokens
        for box in ((6, 4, 27, 27), (6, 4, 16, 16), (6, 4, 27, 27))
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_every_face_takes_it(model: BlipDiffusion) -> None:
    given = SubjectPhoto(on("red"), "dog", mask())
    asked = GenerateRequest(category="dog", count=1, steps=2, fit="cut-out")
    (made,) = results_of(Studio(model), asked, subject=given)
    layers = on("green").convert("RGBA")
    layers.putalpha(mask())
    (same,) = results_of(Studio(model), asked, subject=SubjectPhoto(layers, "dog"))
    assert np.array_equal(pixels_of(made), pixels_of(same)) and made.picture.job["request"]["fit"] == "cut-out"
    pipe = BlipDiffusionPipeline.from_model(model)
    pipe.set_progress_bar_config(disable=True)
    shared = {"prompt": "", "source_subject_category": "dog", "num_inference_steps": 2, "output_type": "np"}
    pictures = [
        pipe(**shared, reference_image=layers, photo_fit=fit, generator=torch.Generator().manual_seed(1)).images
        for fit in ("cut-out", "pad")
    ]
    assert not np.array_equal(*pictures)
