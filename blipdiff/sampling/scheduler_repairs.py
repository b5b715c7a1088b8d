"""What diffusers' schedulers get wrong at some numbers of steps and on some noise schedules: mended, or refused.

Each is given a scheduler of one's own, fresh from its config, and mends it in place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler, SchedulerMixin
from torch import Tensor

from blipdiff.errors import ConfigError


def has_zero_terminal_snr(config: Mapping[str, Any]) -> bool:
    """Whether a noise schedule ends without any signal."""
    return bool(config.get("rescale_betas_zero_snr", False))


def rescale(scheduler: SchedulerMixin, settings: Mapping[str, Any]) -> None:
    """Zero terminal signal (Lin et al. 2023, arXiv:2305.08891, algorithm 1) for a class without the option.

    PNDM drops `rescale_betas_zero_snr` without a word and then denoises another noise than the model was trained
    on. The last signal is 2**-24 instead of 0, as in diffusers' other classes, since PNDM divides by it.
    """
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
    given = {key: settings[key] for key in keys if key in settings}
    alphas_cumprod: Tensor = DDIMScheduler.from_config({**given, "rescale_betas_zero_snr": True}).alphas_cumprod
    alphas_cumprod[-1] = 2**-24
    scheduler.register_to_config(rescale_betas_zero_snr=True)
    scheduler.alphas_cumprod = alphas_cumprod
    if not scheduler.config.set_alpha_to_one:
        scheduler.final_alpha_cumprod = alphas_cumprod[0]


def drop_past_the_end(scheduler: SchedulerMixin, steps: int) -> None:
    """Takes out the timestep -1 that "trailing" spacing makes of 62 of the numbers to 1000, 61 and 103 the first.

    numpy.arange(1000, 0, -1000 / 61) has 62 values by rounding; the last becomes timestep -1, which indexes the
    noisiest level of the schedule.
    """
    if int(scheduler.timesteps[-1]) >= 0:
        return
    scheduler.timesteps = scheduler.timesteps[:-1]
    scheduler.num_inference_steps = steps
    sigmas = getattr(scheduler, "sigmas", None)
    if isinstance(sigmas, Tensor) and len(sigmas) == len(scheduler.timesteps) + 2:
        scheduler.sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])


def start_karras_at_terminal(scheduler: SchedulerMixin, steps: int, device: torch.device | str) -> None:
    """One step at the terminal level, then Karras' levels (2022, arXiv:2206.00364, eq. 5) from where signal begins.

    With zero terminal signal the noisiest level is sigma 4096 by convention, and levels spaced from there spend
    two thirds of a 20-step run on pure noise. The ramp begins where the same betas end without rescaling: 14.6
    for Stable Diffusion.
    """
    if steps == 1:
        return
    signal = scheduler.alphas_cumprod.double().numpy()
    levels = np.sqrt((1 - signal) / signal)  # sigma of each timestep, growing
    config = {**scheduler.config, "rescale_betas_zero_snr": False}
    unrescaled = float(type(scheduler).from_config(config).alphas_cumprod[-1])
    top = min(np.sqrt((1 - unrescaled) / unrescaled), levels[-2])
    ramp = np.linspace(top ** (1 / 7), levels[0] ** (1 / 7), steps - 1) ** 7
    sigmas = np.concatenate([levels[-1:], ramp])
    timesteps = np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels))).round()
    scheduler.sigmas = torch.tensor(np.append(sigmas, 0.0), dtype=torch.float32)
    scheduler.timesteps = torch.tensor(timesteps, dtype=torch.int64, device=device)


def keep_roots_real(scheduler: SchedulerMixin) -> None:
    """Noise levels in float64 where an ancestral step in float32 would take the root of a negative number.

    Such a step goes down to (low**2 - up**2)**0.5, which is low**2 / high: where `high` is thousands of times `low`, as
    at the beginning of 3 steps of a cosine schedule, `up` rounds to more than `low`, and the latents become nan.
    """
    if not isinstance(scheduler, EulerAncestralDiscreteScheduler):
        return
    high, low = scheduler.sigmas[:-1], scheduler.sigmas[1:]
    up = (low**2 * (high**2 - low**2) / high**2) ** 0.5
    if bool((low**2 - up**2 < 0).any()):
        scheduler.sigmas = scheduler.sigmas.double()


def check_timesteps(scheduler: SchedulerMixin, steps: int, most: int) -> None:
    """Passes where so many different steps were made, of `most` noise levels. Raises: ConfigError."""
    timesteps: Tensor = scheduler.timesteps
    sigmas = getattr(scheduler, "sigmas", None)
    stuck = scheduler.order == 1 and isinstance(sigmas, Tensor) and bool((sigmas.diff() == 0).any())
    if stuck or float(timesteps.max()) > most - 1 or float(timesteps.min()) < 0:
        raise ConfigError(
            f"{type(scheduler).__name__} cannot make {steps} different steps of this checkpoint's {most} noise "
            "levels; ask for fewer."
        )
    if (
        has_zero_terminal_snr(scheduler.config)
        and scheduler.config.prediction_type == "epsilon"
        and float(timesteps.max()) == most - 1
    ):
        raise ConfigError(
            "This checkpoint's noise ends without any signal, where a model that predicts the noise says nothing: "
            "its scheduler config needs prediction_type 'v_prediction', or rescale_betas_zero_snr false."
        )
