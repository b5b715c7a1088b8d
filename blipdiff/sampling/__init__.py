"""From noise to latents: schedulers, guidance, and the one loop."""

from blipdiff.sampling.loop import LatentEdit, Step, denoise
from blipdiff.sampling.predictor import Control, GuidedPredictor, NoisePredictor, TapCall
from blipdiff.sampling.schedulers import (
    AS_CONFIGURED,
    DEFAULT_SCHEDULER,
    SCHEDULER_NAMES,
    Scheduler,
    build_scheduler,
    draws_noise,
    set_timesteps,
)

__all__ = [
    "AS_CONFIGURED",
    "DEFAULT_SCHEDULER",
    "SCHEDULER_NAMES",
    "Control",
    "GuidedPredictor",
    "LatentEdit",
    "NoisePredictor",
    "Scheduler",
    "Step",
    "TapCall",
    "build_scheduler",
    "denoise",
    "draws_noise",
    "set_timesteps",
]
