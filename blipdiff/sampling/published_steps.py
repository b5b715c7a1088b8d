"""Steps that others have published for Stable Diffusion 1's noise schedule, run by DPM-Solver++ 2M; not measured here.

"ays": Align Your Steps (Sabour et al. 2024, arXiv:2404.14507), the timesteps of 10 calls. "gits": Chen et al. 2024
(arXiv:2405.11326), the noise levels of 8 and of 10 calls. Other numbers of calls lie between them: noise levels are
interpolated in their logarithm, as the authors of the first do it.
"""

from typing import Any

import numpy as np
import torch

from blipdiff.errors import ConfigError

_AYS = (999, 850, 736, 645, 545, 455, 343, 233, 124, 24)  # timesteps
_GITS = {  # sigmas
    8: (14.615, 5.855, 2.845, 1.563, 0.891, 0.501, 0.251, 0.098),
    10: (14.615, 6.773, 3.073, 1.913, 1.242, 0.803, 0.524, 0.344, 0.199, 0.098),
}
_STABLE_DIFFUSION = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}
PUBLISHED = "published_steps"  # the attribute of a scheduler that takes some: their name


def remembered(scheduler: Any, name: str) -> None:
    """Notes on a fresh scheduler which published steps it takes.

    Raises: ConfigError where its noise schedule is not Stable Diffusion's.
    """
    config = scheduler.config
    differs = any(getattr(config, key) != value for key, value in _STABLE_DIFFUSION.items())
    if differs or getattr(config, "trained_betas", None) is not None or config.rescale_betas_zero_snr:
        raise ConfigError(
            f"The steps '{name}' were published for Stable Diffusion's noise schedule, which this model has not. "
            "Choose another scheduler, such as unipc."
        )
    setattr(scheduler, PUBLISHED, name)


def ready_published(scheduler: Any, steps: int, device: torch.device | str) -> None:
    """Readies a scheduler that takes published steps for `steps` calls.

    Raises: ConfigError for so many calls that their timesteps coincide.
    """
    name = getattr(scheduler, PUBLISHED)
    signal = scheduler.alphas_cumprod.double().numpy()
    levels = np.sqrt((1 - signal) / signal)  # sigma of each timestep, growing
    sigmas = levels[list(_AYS)] if name == "ays" else np.array(_GITS[8 if steps <= 8 else 10])
    if steps != len(sigmas):
        places = np.linspace(0, len(sigmas) - 1, steps)
        sigmas = np.exp(np.interp(places, np.arange(len(sigmas)), np.log(sigmas)))
    timesteps = np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels))).round().astype(int)
    if len(set(timesteps.tolist())) < steps:
        raise ConfigError(f"The steps '{name}' cannot be divided into {steps} different calls; ask for fewer.")
    scheduler.set_timesteps(timesteps=timesteps.tolist(), device=device)
