"""Schedulers by name, built from the checkpoint's own noise schedule, and their timesteps."""

import copy
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import diffusers
import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    SchedulerMixin,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from blipdiff.errors import CheckpointError, ConfigError, listed
from blipdiff.models.step_tables import StepTables
from blipdiff.ranges import AS_CONFIGURED, FITTED, SCHEDULER_NAMES, TABLED_NAMES
from blipdiff.sampling.fitted import FittedScheduler
from blipdiff.sampling.published_steps import PUBLISHED, ready_published, remembered

# What diffusers hands to NumPy, NumPy 2 takes with a warning that nobody here can heed.
warnings.filterwarnings(
    "ignore", message="__array__ implementation", category=DeprecationWarning, module=r"diffusers\.schedulers"
)

Scheduler: TypeAlias = SchedulerMixin


# The noise that the checkpoint was trained on. Classes differ in their defaults for these: what a sparse config
# leaves out is filled in from the checkpoint's own class before another one reads it.
_TRAINED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)

_UNCLIPPED = {"clip_sample": False, "thresholding": False}  # latents are not pictures: their range is not [-1, 1]
_PLAIN_SIGMAS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_flow_sigmas": False,
    "final_sigmas_type": "zero",
}
_EULER = {**_PLAIN_SIGMAS, "interpolation_type": "linear", "timestep_type": "discrete"}
_DPM = {
    **_PLAIN_SIGMAS,
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "use_lu_lambdas": False,
    "variance_type": None,
    "thresholding": False,
}
_UNIPC = {**_PLAIN_SIGMAS, "solver_order": 2, "solver_type": "bh2", "predict_x0": True, "thresholding": False}


class Scheduled(Protocol):
    """What has a noise schedule: `blipdiff.models.blip_diffusion.BlipDiffusion`."""

    @property
    def scheduler_config(self) -> Mapping[str, Any]: ...

    @property
    def step_tables(self) -> StepTables | None: ...

    @property
    def device(self) -> torch.device: ...


@dataclass(frozen=True, slots=True)
class _Recipe:
    scheduler: type[Scheduler]
    settings: Mapping[str, Any] = field(default_factory=dict)
    predictions: tuple[str, ...] = ("epsilon", "v_prediction", "sample")


_RECIPES = {
    "pndm": _Recipe(PNDMScheduler, {"skip_prk_steps": True}, ("epsilon", "v_prediction")),
    "ddim": _Recipe(DDIMScheduler, _UNCLIPPED),
    "dpm++2m": _Recipe(DPMSolverMultistepScheduler, _DPM),
    "dpm++2m-karras": _Recipe(DPMSolverMultistepScheduler, {**_DPM, "use_karras_sigmas": True}),
    "unipc": _Recipe(UniPCMultistepScheduler, _UNIPC),
    "euler": _Recipe(EulerDiscreteScheduler, _EULER),
    "euler-a": _Recipe(EulerAncestralDiscreteScheduler, {}, ("epsilon", "v_prediction")),
    "lcm": _Recipe(LCMScheduler, _UNCLIPPED),
    "tcd": _Recipe(TCDScheduler, _UNCLIPPED),
    FITTED: _Recipe(FittedScheduler, _UNCLIPPED),
    "ays": _Recipe(DPMSolverMultistepScheduler, _DPM, ("epsilon",)),
    "gits": _Recipe(DPMSolverMultistepScheduler, _DPM, ("epsilon",)),
}
_ALIASES = {"dpm++ 2m": "dpm++2m", "dpm++ 2m karras": "dpm++2m-karras", "euler a": "euler-a"}


def build_scheduler(name: str | None, config: Mapping[str, Any], tables: StepTables | None = None) -> Scheduler:
    """A scheduler for one run, by name; None and "as configured" give the checkpoint's own, unchanged.

    config: the checkpoint's scheduler_config.json, `_class_name` included; tables: its fitted steps, if it has any

    Raises: ConfigError for an unknown name or one that cannot use the checkpoint's kind of prediction, its noise
    schedule or its want of fitted steps, CheckpointError for a config that names no scheduler of diffusers.
    """
    own = _own_scheduler(config)
    if name is None or name.strip().lower() == AS_CONFIGURED:
        return own
    key = name.strip().lower()
    recipe = _RECIPES.get(_ALIASES.get(key, key))
    if recipe is None:
        names = listed([*SCHEDULER_NAMES, *TABLED_NAMES, AS_CONFIGURED], most=20)
        raise ConfigError(f"There is no scheduler named {name!r}. There are: {names}.")
    trained = {setting: own.config[setting] for setting in _TRAINED if setting in own.config}
    if trained.get("prediction_type", "epsilon") not in recipe.predictions:
        raise ConfigError(
            f"The scheduler {key} cannot use a model of prediction_type {trained['prediction_type']!r}, "
            f"only {listed(recipe.predictions)}. Choose ddim."
        )
    if _zero_terminal_snr(config):
        trained["rescale_betas_zero_snr"] = True
    settings = {**config, **trained, **recipe.settings}
    settings.pop("_use_default_values", None)
    known = inspect.signature(recipe.scheduler.__init__).parameters
    built = recipe.scheduler.from_config({key: value for key, value in settings.items() if key in known})
    if _zero_terminal_snr(config) and "rescale_betas_zero_snr" not in known:
        _rescale(built, settings)
    if isinstance(built, FittedScheduler):
        if tables is None:
            raise ConfigError(
                "This model has no fitted steps; `blipdiff schedule` fits some to it. Choose another scheduler, such "
                "as unipc."
            )
        built.tables = tables
    elif key in TABLED_NAMES:
        remembered(built, key)
    return built


def ready_scheduler(model: Scheduled, name: str | None, steps: int, guidance: float) -> Scheduler:
    """A model's scheduler by name, ready for a run of `steps` steps at a guidance scale, on its device.

    Raises: ConfigError, CheckpointError as `build_scheduler` and `set_timesteps`.
    """
    scheduler = build_scheduler(name, model.scheduler_config, model.step_tables)
    if isinstance(scheduler, FittedScheduler):
        scheduler.guidance = guidance
    set_timesteps(scheduler, steps, model.device)
    return scheduler


def set_timesteps(scheduler: Scheduler, steps: int, device: torch.device | str = "cpu") -> None:
    """Readies a scheduler for a run of `steps` steps, and checks or repairs what it made of the number.

    Raises: ConfigError for a number of steps that this scheduler cannot make.
    """
    most = int(scheduler.config.num_train_timesteps)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        raise ConfigError(f"{steps!r} steps were asked for; a run has 1 to {most}.")
    if hasattr(scheduler, PUBLISHED):
        ready_published(scheduler, steps, device)
        return
    try:
        scheduler.set_timesteps(steps, device=device)
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{type(scheduler).__name__} cannot make {steps} steps: {error}") from error
    _drop_past_the_end(scheduler, steps)
    if _zero_terminal_snr(scheduler.config) and getattr(scheduler.config, "use_karras_sigmas", False):
        _start_karras_at_terminal(scheduler, steps, device)
    _check_timesteps(scheduler, steps, most)
    _keep_roots_real(scheduler)


def draws_noise(scheduler: Scheduler) -> bool:
    """Whether the scheduler adds noise at its steps, so that a run needs a generator for each row."""
    names = ("Ancestral", "LCM", "DDPM", "TCD", "SDE", "UnCLIP")
    algorithm = str(getattr(scheduler.config, "algorithm_type", ""))
    return any(name in type(scheduler).__name__ for name in names) or algorithm.startswith("sde")


def check_start(scheduler: Scheduler, start: int) -> None:
    """Passes where a run can begin after `start` of its U-Net calls.

    Raises: ConfigError for a number that leaves none, and for PNDM, whose first two calls are of a kind of their own.
    """
    count = len(scheduler.timesteps)
    if not 0 <= start < count:
        raise ConfigError(f"A run of {count} steps cannot begin after {start} of them.")
    if start > 0 and isinstance(scheduler, PNDMScheduler):
        raise ConfigError("PNDM cannot begin in the middle of a run; choose another scheduler, such as unipc or ddim.")


def noised(scheduler: Scheduler, clean: Tensor, noise: Tensor) -> list[Tensor]:
    """A picture's latents under noise as they would be before each U-Net call of a run, and at last without noise.

    clean, noise: (rows, channels, h, w)
    """
    twin: Any = copy.deepcopy(scheduler)
    way = []
    for index, timestep in enumerate(twin.timesteps):
        if hasattr(twin, "set_begin_index"):
            twin.set_begin_index(index)
        way.append(twin.add_noise(clean.float(), noise.float(), timestep.reshape(1)))
    return [*way, clean.float()]


def _own_scheduler(config: Mapping[str, Any]) -> Scheduler:
    name = config.get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise CheckpointError(f"The checkpoint's scheduler is {name!r}; diffusers has no scheduler of that name.")
    found: Any = kind
    return found.from_config(dict(config))


def _zero_terminal_snr(config: Mapping[str, Any]) -> bool:
    return bool(config.get("rescale_betas_zero_snr", False))


def _rescale(scheduler: Scheduler, settings: Mapping[str, Any]) -> None:
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


def _drop_past_the_end(scheduler: Scheduler, steps: int) -> None:
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


def _start_karras_at_terminal(scheduler: Scheduler, steps: int, device: torch.device | str) -> None:
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


def _keep_roots_real(scheduler: Scheduler) -> None:
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


def _check_timesteps(scheduler: Scheduler, steps: int, most: int) -> None:
    timesteps: Tensor = scheduler.timesteps
    sigmas = getattr(scheduler, "sigmas", None)
    stuck = scheduler.order == 1 and isinstance(sigmas, Tensor) and bool((sigmas.diff() == 0).any())
    if stuck or float(timesteps.max()) > most - 1 or float(timesteps.min()) < 0:
        raise ConfigError(
            f"{type(scheduler).__name__} cannot make {steps} different steps of this checkpoint's {most} noise "
            "levels; ask for fewer."
        )
    if (
        _zero_terminal_snr(scheduler.config)
        and scheduler.config.prediction_type == "epsilon"
        and float(timesteps.max()) == most - 1
    ):
        raise ConfigError(
            "This checkpoint's noise ends without any signal, where a model that predicts the noise says nothing: "
            "its scheduler config needs prediction_type 'v_prediction', or rescale_betas_zero_snr false."
        )
