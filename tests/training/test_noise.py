"""The noise schedule: what the U-Net shall say, checked against diffusers and by getting the latents back."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from blipdiff.errors import ConfigError
from blipdiff.training.noise import MINI_SCHEDULE, NoiseSchedule

TIMESTEPS = torch.tensor([0, 1, 250, 500, 999])


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_noise_and_target_are_those_of_diffusers(kind: str, latents: torch.Tensor, noise: torch.Tensor) -> None:
    config = {**MINI_SCHEDULE, "prediction_type": kind}
    scheduler = DDPMScheduler.from_config(config)
    mixed, target = NoiseSchedule(config).noised(latents, noise, TIMESTEPS)
    assert torch.allclose(mixed, scheduler.add_noise(latents, noise, TIMESTEPS), atol=1e-6)
    wanted = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(latents, noise, TIMESTEPS),
        "sample": latents,
    }
    assert torch.allclose(target, wanted[kind], atol=1e-6)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_sampler_gets_the_latents_back_from_a_perfect_prediction(
    kind: str, latents: torch.Tensor, noise: torch.Tensor
) -> None:
    config = {**MINI_SCHEDULE, "prediction_type": kind, "clip_sample": False}
    sampler = DDIMScheduler.from_config(config)
    sampler.set_timesteps(10)
    schedule = NoiseSchedule(config)
    for timestep in sampler.timesteps[1:]:  # the first is all noise: no noise tells of latents there
        times = timestep.repeat(5)
        mixed, target = schedule.noised(latents, noise, times)
        found = sampler.step(target, timestep, mixed).pred_original_sample
        assert torch.allclose(found, latents, atol=2e-3)


def test_the_last_timestep_of_the_small_model_is_all_noise(latents: torch.Tensor, noise: torch.Tensor) -> None:
    mixed, target = NoiseSchedule(MINI_SCHEDULE).noised(latents, noise, torch.full((5,), 999))
    assert torch.allclose(mixed, noise, atol=2e-3)
    assert torch.allclose(target, -latents, atol=2e-3), "there the U-Net says what the words mean"


def test_nothing_given_is_changed(latents: torch.Tensor, noise: torch.Tensor) -> None:
    kept = latents.clone(), noise.clone()
    NoiseSchedule(MINI_SCHEDULE).noised(latents, noise, TIMESTEPS)
    assert torch.equal(latents, kept[0])
    assert torch.equal(noise, kept[1])


def test_an_unknown_kind_of_prediction_is_refused() -> None:
    with pytest.raises(ConfigError, match="'flow'"):
        NoiseSchedule({**MINI_SCHEDULE, "prediction_type": "flow"})


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weighs_the_error_of_the_sample_alike_in_every_prediction(kind: str) -> None:
    schedule = NoiseSchedule({**MINI_SCHEDULE, "beta_schedule": "scaled_linear", "prediction_type": kind})
    times = torch.tensor([0, 300, 700, 990])
    latents, noise, off = torch.randn(3, 4, 1, 2, 2)
    mixed, wanted = schedule.noised(latents, noise, times)
    signal, amount = (
        schedule.noised(one, two, times)[0]
        for one, two in (
            (torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)),
            (torch.zeros(4, 1, 2, 2), torch.ones(4, 1, 2, 2)),
        )
    )
    # what a sample that is off by `off` means for the prediction, the noised latents being what they are
    implied = {"epsilon": -signal / amount * off, "v_prediction": -off / amount, "sample": off}[kind]
    weights = schedule.min_snr(times, 5.0)[:, None, None, None]
    snr = (signal / amount).square()
    torch.testing.assert_close(weights * implied.square(), snr.clamp(max=5) * off.square(), rtol=1e-3, atol=1e-4)
    assert mixed.shape == wanted.shape
