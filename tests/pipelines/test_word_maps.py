"""Maps of the words: where a picture is looked at, and how that is shown."""

import pytest
import torch
from PIL import Image

from blipdiff.attention.word_maps import overlay, word_maps
from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.generate.attend import plan_attention_maps
from pipelines.generate.request import AttendRequest
from pipelines.plan import encode, execute


@pytest.fixture(scope="module")
def model(shared):
    return load_model(shared / "parity" / "blipdiffusion-tiny", dtype="stored")


def test_every_word_and_the_subject_have_a_map_of_the_pictures_size_and_the_picture_stays(model):
    subject = SubjectEmbedding(torch.randn(16, 32, generator=torch.Generator().manual_seed(3)), "dog")
    request = AttendRequest(category="dog", prompt="on a sofa", steps=2, width=64, height=96, count=2)
    plan, store, _ = plan_attention_maps(model, encode(model, request, subject), request.seeds())
    *_, last = execute(model.unet, plan)
    *_, plain = execute(model.unet, plan_attention_maps(model, encode(model, request, subject), (0, 1))[0])
    assert torch.allclose(last.latents, plain.latents, atol=1e-4)
    maps = word_maps(store.mean()[1], plan.guidance.positive.layouts[1], (96, 64))
    assert [one.word for one in maps] == ["the subject", "a", "dog", "on", "a", "sofa"]
    assert all(one.heat.shape == (96, 64) and one.heat.min() >= 0 and one.heat.max() == 1 for one in maps)


def test_an_overlay_is_yellow_where_it_is_hot_and_dark_where_it_is_cold():
    heat = torch.zeros(8, 16)
    heat[:, 8:] = 1
    shown = overlay(Image.new("RGB", (16, 8), "grey"), heat, opacity=1.0)
    assert shown.size == (16, 8)
    assert shown.getpixel((2, 4)) == (69, 0, 84)
    assert shown.getpixel((12, 4)) == (252, 232, 36)
