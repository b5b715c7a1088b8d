"""Runs that begin in the middle, from a picture's own latents under noise."""

import pytest
import torch

from blipdiff.errors import ConfigError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment
from blipdiff.sampling.held import HeldOutside
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.schedulers import SCHEDULER_NAMES, build_scheduler, noised, set_timesteps

STEPS = 10
CLEAN, NOISE = noise([1], (4, 8, 8)), noise([2], (4, 8, 8))


def ready(name, config):
    scheduler = build_scheduler(name, config)
    set_timesteps(scheduler, STEPS)
    return scheduler


def knowing(scheduler):
    """Predicts the noise that hides CLEAN, and counts its calls."""
    calls = []

    def predict(latents, moment):
        calls.append(moment.index)
        kept = scheduler.alphas_cumprod[int(moment.timestep.round())]
        return (latents - kept.sqrt() * CLEAN) / (1 - kept).sqrt()

    return predict, calls


@pytest.mark.parametrize("name", [name for name in SCHEDULER_NAMES if name != "pndm"])
@pytest.mark.parametrize("start", [0, 6])
def test_a_run_that_begins_in_the_middle_ends_in_the_picture_whose_noise_is_told(name, start, scheduler_config):
    scheduler = ready(name, scheduler_config)
    predict, calls = knowing(scheduler)
    latents = NOISE if start == 0 else noised(scheduler, CLEAN, NOISE)[start]
    generators = [torch.Generator().manual_seed(3)]
    steps = list(denoise(predict, scheduler, latents, generators=generators, start=start))
    assert calls == list(range(start, STEPS))
    assert [(step.index, step.count) for step in steps] == [(place, STEPS - start) for place in range(STEPS - start)]
    assert float((steps[-1].latents - CLEAN).abs().mean()) < 0.06


def test_pndm_and_a_run_without_steps_are_refused(scheduler_config):
    for name, start, told in (("pndm", 3, "PNDM cannot begin"), ("ddim", 10, "cannot begin after 10")):
        scheduler = ready(name, scheduler_config)
        with pytest.raises(ConfigError, match=told):
            next(denoise(knowing(scheduler)[0], scheduler, NOISE, start=start))


def test_outside_of_a_mask_the_latents_end_as_they_were(scheduler_config):
    scheduler = ready("unipc", scheduler_config)
    mask = torch.zeros(8, 8)
    mask[2:5, 2:5] = 1
    held = HeldOutside(noised(scheduler, CLEAN, NOISE), mask)
    free = lambda latents, _moment: latents * 0.1  # noqa: E731
    last = list(denoise(free, scheduler, noise([5], (4, 8, 8)), [held]))[-1].latents
    assert torch.equal(last[..., mask == 0], CLEAN[..., mask == 0])
    assert not torch.equal(last[..., mask == 1], CLEAN[..., mask == 1])
    with pytest.raises(ShapeError, match="Latents of 10 steps were given to a run of 5"):
        held(CLEAN, Moment(0, 5, torch.tensor(1)))
