"""The noise schedule that objectives train against, read from the scheduler's configuration."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from blipdiff.errors import ConfigError

MINI_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",  # its last step is all noise, so plain backgrounds come out right
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 0,
    "set_alpha_to_one": True,
}


class NoiseSchedule:
    """Noises latents and names the U-Net's target: epsilon, v or sample, as the configuration says."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        scheduler = DDPMScheduler.from_config(dict(config))
        self.prediction = str(scheduler.config.prediction_type)
        if self.prediction not in ("epsilon", "v_prediction", "sample"):
            raise ConfigError(f"Training knows no prediction type '{self.prediction}'.")
        self.count = len(scheduler.alphas_cumprod)
        self._signal = scheduler.alphas_cumprod.float().sqrt()
        self._noise = (1 - scheduler.alphas_cumprod.float()).sqrt()

    def drawn(self, count: int, generator: torch.Generator, timestep_exponent: float = 1.0) -> Tensor:
        """`count` timesteps (n,), one from each of `count` equal parts of the draw, in random order.

        timestep_exponent: k draws times by 1 - u**k (Mou et al. 2023, arXiv:2302.08453, sec. 3.4): 1 is uniform, more
            draws more from the noisy beginning of a run, where subject and structure are settled
        """
        times = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        times = times[torch.randperm(count, generator=generator)]
        if timestep_exponent != 1:
            times = 1 - times**timestep_exponent
        return (times * self.count).long().clamp(max=self.count - 1)

    def noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """latents and noise (n, c, h, w), timesteps (n,) -> noised latents and what the U-Net should say."""
        signal = self._signal.to(latents.device)[timesteps][:, None, None, None]
        amount = self._noise.to(latents.device)[timesteps][:, None, None, None]
        mixed = signal * latents + amount * noise
        if self.prediction == "epsilon":
            return mixed, noise
        if self.prediction == "sample":
            return mixed, latents
        return mixed, signal * noise - amount * latents  # Salimans and Ho 2022, arXiv:2202.00512, appendix D

    def min_snr(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Weights (n,) of the squared error, min(SNR, gamma) for predicted samples (arXiv:2303.09556, sec. 3.4).

        In the other predictions' terms: divided by SNR for epsilon, by SNR + 1 for v.
        """
        snr = (self._signal.double() / self._noise.double()).square()[timesteps.cpu()]
        capped = snr.clamp(max=gamma)
        divisor = {"epsilon": snr.clamp(min=1e-8), "v_prediction": snr + 1, "sample": 1.0}[self.prediction]
        weights: Tensor = (capped / divisor).float().to(timesteps.device)
        return weights
