"""What the speeds promise, held by the bundled model: nearer to its converged pictures, or fewer calls."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.images import open_picture
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import SPEED_DECIBELS, SPEEDS
from pipelines.evaluate.drawing import side_by_side, with_details
from pipelines.generate.request import GenerateRequest
from pipelines.plan import encode, execute, plan_encoded
from pipelines.studio import Studio

pytestmark = pytest.mark.bundled

PAIRS = (("coffee", "at sunset"), ("umbrella", "on a blue background"), ("popcorn", "on a grass field"))
_SMALLER = 6.0  # dB that a picture of so few may fall short of the promise, which is of the median of many


@pytest.fixture(scope="module")
def mini() -> BlipDiffusion:
    return Studio.open("mini", dtype="float32").model


def drawn(model: BlipDiffusion, **asked: object) -> tuple[Tensor, int]:
    """(pairs, 3, H, W) in [0, 1], and the U-Net calls."""
    plans = []
    for seed, (category, prompt) in enumerate(PAIRS, 40):
        request = GenerateRequest(category=category, prompt=prompt, count=1, **asked)  # type: ignore[arg-type]
        photo = open_picture(Path(blipdiff.__file__).parent / "assets" / "subjects" / f"{category}.png")
        subject = model.encode_subject(SubjectPhoto(photo, category), fit="pad")
        plan = plan_encoded(model, encode(model, request, subject), [seed])
        plans.append(with_details(model, request, photo, subject, plan))
    steps = list(execute(model.unet, side_by_side(plans)))
    return decode_latents(model.vae, steps[-1].latents).float(), len(steps)


@pytest.fixture(scope="module")
def at_speeds(mini: BlipDiffusion) -> list[tuple[Tensor, int]]:
    return [drawn(mini, speed=speed) for speed in SPEEDS]


def test_each_speed_keeps_its_promise_on_subjects_that_fitted_nothing(
    mini: BlipDiffusion, at_speeds: list[tuple[Tensor, int]]
) -> None:
    wanted, _ = drawn(mini, scheduler="unipc", steps=60)
    calls, ratios = [], []
    for found, count in at_speeds:
        calls.append(count)
        ratios.append(-10 * (found - wanted).square().mean((1, 2, 3)).log10())
    assert calls == sorted(calls, reverse=True)
    assert calls[0] <= 16
    medians = [float(one.median()) for one in ratios]
    assert medians == sorted(medians, reverse=True)
    for median, promised in zip(medians, SPEED_DECIBELS.values(), strict=True):
        assert median > promised - _SMALLER


@pytest.mark.parametrize("guidance", [1.5, 5.0])
def test_fitted_steps_hold_at_other_guidance(mini: BlipDiffusion, guidance: float) -> None:
    wanted, _ = drawn(mini, scheduler="unipc", steps=40, guidance=guidance)  # what is compared is 10 dB apart
    found, calls = drawn(mini, guidance=guidance)
    plain, _ = drawn(mini, scheduler="unipc", steps=calls, guidance=guidance)
    errors = [(one - wanted).square().mean((1, 2, 3)).median() for one in (found, plain)]
    assert errors[0] < errors[1] / 2


def test_the_same_seed_is_the_same_picture_at_each_speed(
    mini: BlipDiffusion, at_speeds: list[tuple[Tensor, int]]
) -> None:
    for speed, (before, _) in zip(SPEEDS, at_speeds, strict=True):
        assert torch.equal(drawn(mini, speed=speed)[0], before)
