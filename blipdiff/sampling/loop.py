"""The one denoising loop: generation, stylization, editing, blending and inversion run through it."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blipdiff.errors import ConfigError, NumericsError
from blipdiff.moment import Moment
from blipdiff.sampling.fitted import clean_latents
from blipdiff.sampling.predictor import NoisePredictor
from blipdiff.sampling.schedulers import Scheduler, check_start, draws_noise

LatentEdit: TypeAlias = Callable[[Tensor, Moment], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a run, after its edits."""

    index: int  # of the calls that are made
    count: int  # U-Net calls of the whole run
    timestep: Tensor  # ()
    latents: Tensor  # (rows, channels, h, w) float32
    prediction: Tensor  # of the U-Net, guided, the same shape
    clean: Tensor | None  # the latents without noise as far as this step can tell, for previews


def denoise(
    predict: NoisePredictor,
    scheduler: Scheduler,
    latents: Tensor,
    edits: Sequence[LatentEdit] = (),
    generators: Sequence[torch.Generator] | None = None,
    start: int = 0,
) -> Iterator[Step]:
    """Runs the scheduler from noise to its last timestep; progress, previews and cancelling are the caller's `for`.

    The scheduler, readied by `set_timesteps`, stays as it is: each run has its own copy. Latents and the
    scheduler's arithmetic are float32 whatever the networks run in. Generators are advanced.

    latents: (rows, channels, h, w) of standard normal noise; generators: one for each row, for schedulers that add
    noise at their steps; start: U-Net calls that are left out, after which the latents are taken as they are

    Raises: ConfigError for a scheduler without timesteps, one that cannot start there, or missing generators;
    NumericsError when the latents become infinite or not-a-number.
    """
    if getattr(scheduler, "num_inference_steps", None) is None:
        raise ConfigError("The scheduler has no timesteps yet; call set_timesteps(scheduler, steps) first.")
    check_start(scheduler, start)
    noise = _step_noise(scheduler, latents.shape[0], generators)
    scheduler = copy.deepcopy(scheduler)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)  # else it looks itself up by timestep, and takes the second of two equal ones
    timesteps = scheduler.timesteps.to(latents.device)
    latents = latents.float() * (scheduler.init_noise_sigma if start == 0 else 1)
    for index, timestep in enumerate(timesteps[start:], start):
        moment = Moment(index, len(timesteps), timestep)
        with torch.no_grad():
            scaled = scheduler.scale_model_input(latents, timestep)
            prediction = predict(scaled, moment).float()
            latents = scheduler.step(prediction, timestep, latents, **noise, return_dict=False)[0]
            for edit in edits:
                latents = edit(latents, moment)
            _check_finite(latents, moment)
            clean = _clean(scheduler, scaled, prediction, timestep)
        yield Step(index - start, len(timesteps) - start, timestep, latents, prediction, clean)


def _step_noise(
    scheduler: Scheduler, rows: int, generators: Sequence[torch.Generator] | None
) -> dict[str, list[torch.Generator]]:
    """The `generator` argument of the scheduler's step: a list draws the noise of each row from its own."""
    if "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    if generators is None:
        if draws_noise(scheduler):
            raise ConfigError(
                f"{type(scheduler).__name__} adds noise at every step; give one generator for each of {rows} rows."
            )
        return {}
    if len(generators) != rows:
        raise ConfigError(f"{len(generators)} generators were given for {rows} rows; give one each.")
    return {"generator": list(generators)}


def _check_finite(latents: Tensor, moment: Moment) -> None:
    if not bool(torch.isfinite(latents).all()):
        raise NumericsError(
            f"The latents became infinite or not-a-number at step {moment.index + 1} of {moment.count} (timestep "
            f"{float(moment.timestep):g}). The weights may be damaged, or the dtype too narrow: try float32."
        )


def _clean(scheduler: Any, scaled: Tensor, prediction: Tensor, timestep: Tensor) -> Tensor | None:
    """The latents without noise that a prediction implies; every scheduler's scaled input has unit variance."""
    kind = getattr(scheduler.config, "prediction_type", None)
    signal = getattr(scheduler, "alphas_cumprod", None)
    if kind == "sample":
        return prediction
    if signal is None or kind not in ("epsilon", "v_prediction"):
        return None
    return clean_latents(prediction, scaled, signal[int(timestep.round())].to(scaled).clamp(min=2**-24), kind)
