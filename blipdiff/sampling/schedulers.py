"""Schedulers by name, built from the checkpoint's own noise schedule, and their timesteps."""

import copy
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import diffusers
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
from blipdiff.sampling.scheduler_repairs import (
    check_timesteps,
    drop_past_the_end,
    has_zero_terminal_snr,
    keep_roots_real,
    rescale,
    start_karras_at_terminal,
)

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
    if has_zero_terminal_snr(config):
        trained["rescale_betas_zero_snr"] = True
    settings = {**config, **trained, **recipe.settings}
    settings.pop("_use_default_values", None)
    known = inspect.signature(recipe.scheduler.__init__).parameters
    built = recipe.scheduler.from_config({key: value for key, value in settings.items() if key in known})
    if has_zero_terminal_snr(config) and "rescale_betas_zero_snr" not in known:
        rescale(built, settings)
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
    drop_past_the_end(scheduler, steps)
    if has_zero_terminal_snr(scheduler.config) and getattr(scheduler.config, "use_karras_sigmas", False):
        start_karras_at_terminal(scheduler, steps, device)
    check_timesteps(scheduler, steps, most)
    keep_roots_real(scheduler)


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
