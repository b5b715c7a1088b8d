"""The fields of a scheduler's configuration, with the range in which a noise schedule can lie."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import diffusers

from blipdiff.checkpoints.fields import Choice, Either, Fields, Flag, Real, Row, Whole, check, only, optional, shown
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.sampling.schedulers import build_scheduler

MOST_LEVELS = 100_000

_BETA = Real(1e-9, 0.999_999)
_SIGMA = optional(Real(1e-9, 1e9))
_LEVELS = "num_train_timesteps"

SCHEDULER: Fields = {
    _LEVELS: Whole(1, MOST_LEVELS),
    "beta_start": _BETA,
    "beta_end": _BETA,
    "beta_schedule": Choice(("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace")),
    "trained_betas": optional(Row(_BETA, 1, MOST_LEVELS)),
    "prediction_type": Choice(("epsilon", "v_prediction", "sample")),
    "timestep_spacing": Choice(("leading", "trailing", "linspace")),
    "steps_offset": Whole(0, MOST_LEVELS),
    "skip_prk_steps": Flag(),
    "set_alpha_to_one": Flag(),
    "rescale_betas_zero_snr": Flag(),
    "clip_sample": Flag(),
    "clip_sample_range": Real(1e-6, 1e6),
    "thresholding": Flag(),
    "dynamic_thresholding_ratio": Real(0, 1),
    "sample_max_value": Real(1e-6, 1e6),
    "solver_order": Whole(1, 3),
    "algorithm_type": Choice(("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis")),
    "solver_type": Choice(("midpoint", "heun", "bh1", "bh2", "logrho")),
    "lower_order_final": Flag(),
    "euler_at_final": Flag(),
    "use_karras_sigmas": optional(Flag()),
    "use_exponential_sigmas": optional(Flag()),
    "use_beta_sigmas": optional(Flag()),
    "use_lu_lambdas": optional(Flag()),
    "use_flow_sigmas": optional(only(False)),
    "flow_shift": optional(Real(1e-6, 1e6)),
    "final_sigmas_type": Choice(("zero", "sigma_min")),
    "lambda_min_clipped": Either((Real(-1e9, 1e9), Choice((-math.inf,)))),
    "variance_type": Choice(
        (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")
    ),
    "interpolation_type": Choice(("linear", "log_linear")),
    "timestep_type": Choice(("discrete", "continuous")),
    "sigma_min": _SIGMA,
    "sigma_max": _SIGMA,
    "original_inference_steps": Whole(1, MOST_LEVELS),
    "timestep_scaling": Real(1e-6, 1e6),
    "predict_x0": Flag(),
    "disable_corrector": Row(Whole(0, MOST_LEVELS), 0, 1000),
    "solver_p": only(None),
}


def scheduler_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it is, once its scheduler can be built from it.

    Raises: CheckpointError naming the field, or the scheduler that this model cannot use.
    """
    where = "scheduler_config.json"
    known = _parameters(config.get("_class_name"))
    check(config, SCHEDULER, where)
    for name, parameter in known.items():
        if name in config and name not in SCHEDULER and not _alike(config[name], parameter.default):
            raise CheckpointError(f"'{name}' in {where} is {shown(config[name])}; expected {parameter.default!r}.")
    _check_levels({name: config.get(name, parameter.default) for name, parameter in known.items()})
    with foreign(where, "one that its scheduler can use"):
        build_scheduler(None, config)
    return dict(config)


def _parameters(name: Any) -> Mapping[str, inspect.Parameter]:
    kind = getattr(diffusers, name, None) if isinstance(name, str) and name.endswith("Scheduler") else None
    known = inspect.signature(kind).parameters if isinstance(kind, type) else {}
    if not {_LEVELS, "prediction_type", "trained_betas"} <= set(known):
        raise CheckpointError(
            f"The checkpoint's scheduler is {shown(name)}; diffusers has no scheduler of that name for models of this "
            "kind. Usual is PNDMScheduler."
        )
    return known


def _check_levels(config: Mapping[str, Any]) -> None:
    levels, betas = config[_LEVELS], config["trained_betas"]
    if betas is not None and len(betas) != levels:
        raise CheckpointError(f"scheduler_config.json gives {len(betas)} 'trained_betas' for {levels} noise levels.")
    if config.get("steps_offset", 0) >= levels:
        raise CheckpointError(
            f"'steps_offset' in scheduler_config.json is {config['steps_offset']}, with {levels} noise levels; it "
            "counts levels."
        )


def _alike(value: Any, default: Any) -> bool:
    """Whether a value that no rule knows is of its default's kind, and harmless."""
    if isinstance(default, bool) or default is None or isinstance(default, str):
        return value == default or (isinstance(default, bool) and isinstance(value, bool))
    return Real(-1e9, 1e9).holds(value)
