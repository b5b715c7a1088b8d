"""Steps fitted to a model on subjects: converged trajectories, tables, and their agreement on other subjects."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from torch import Tensor

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.step_tables import StepTable, StepTables
from blipdiff.ranges import FITTED, MOST_GUIDANCE, SPEED_DECIBELS
from blipdiff.sampling.fitting import CONVERGED, Way, converged, error_of, fitted, moved, spacings
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import NoisePredictor
from blipdiff.sampling.schedulers import build_scheduler, ready_scheduler, set_timesteps
from pipelines.fit_request import FitRequest
from pipelines.trial_rows import TrialRows, decibels

_SEARCHED = 8  # rows by which timesteps are searched; all of them fit the weights
_MOVES = (CONVERGED // 33, CONVERGED // 66)  # places on the way by which a call is moved
_SCALES = (1.0, 0.5, 1.6, 2.4)  # times the model's own guidance; the first is what is measured


@dataclass(frozen=True, slots=True)
class FitProgress:
    """How many U-Net calls are done, of how many."""

    done: int
    total: int


Fitting: TypeAlias = Iterator[FitProgress | StepTable | StepTables]


def fit_steps(model: BlipDiffusion, subjects: Sequence[SubjectPhoto], request: FitRequest) -> Fitting:
    """Progress, each table as soon as it is measured, and at last all of them with what the speeds stand for.

    Raises: ConfigError for fewer than two subjects, or calls that cannot be told apart.
    """
    if len(subjects) < 2:
        raise ConfigError("Steps are fitted on one half of the subjects and measured on the other; give at least two.")
    scales = [min(model.guidance * one, MOST_GUIDANCE) for one in _SCALES] if model.guidance > 1 else [model.guidance]
    steps = _converged_steps(model)
    tried = _check_calls(model, request, steps)
    counted = _Counted((len(scales) + 1) * steps + sum(calls * (len(scales) + tries) for calls, tries in tried.items()))
    fits = TrialRows.of(model, subjects[::2], request.rows, seed=request.seed, batch=request.batch, reads=True)
    ways = []
    for scale in scales:
        ways.append((yield from counted.way(model, fits.at(scale), fits.noise, steps)))
    others = TrialRows.of(
        model, subjects[1::2], request.rows, seed=request.seed + request.rows, batch=request.batch, reads=True
    )
    measured = yield from counted.way(model, others.at(scales[0]), others.noise, steps)
    tables, some = [], replace(fits, plans=fits.plans[:_SEARCHED])
    for calls in tried:
        places = yield from _nearest(model, some.at(scales[0]), ways[0].of_rows(_SEARCHED), calls, counted)
        weights = {}
        for scale, way in zip(scales, ways, strict=True):
            weights[scale] = fitted(fits.at(scale), model.scheduler_config, way, places)[0]
            yield counted.told(calls)
        table = StepTable(tuple(ways[0].timesteps[place] for place in places), weights)
        table = replace(table, decibels=_agreement(model, others, table, scales[0], measured))
        tables.append(table)
        yield table
    yield StepTables(tuple(tables), dial_of(tables))


def dial_of(tables: Sequence[StepTable]) -> dict[str, int]:
    """The fewest calls whose median picture is as near as a speed promises; the most where none is."""
    found = {}
    for speed, wanted in SPEED_DECIBELS.items():
        enough = [len(one.timesteps) for one in tables if one.decibels is not None and one.decibels[0] >= wanted]
        found[speed] = min(enough, default=max(len(one.timesteps) for one in tables))
    return found


def shortfalls(tables: StepTables) -> list[str]:
    """A sentence for each speed that no fitted number of calls comes as near for as it promises."""
    found = []
    for speed, wanted in SPEED_DECIBELS.items():
        reached = tables.table(tables.dial[speed]).decibels
        if reached is not None and reached[0] < wanted:
            found.append(
                f"The speed '{speed}' promises {wanted:g} dB; the most calls that were fitted come to {reached[0]:g}. "
                "Fit more (--calls)."
            )
    return found


def _converged_steps(model: BlipDiffusion) -> int:
    """Of a converged run: fewer than the model's noise schedule has levels, which UniPC can tell apart."""
    levels = build_scheduler("unipc", model.scheduler_config).config.num_train_timesteps
    return max(1, min(CONVERGED, int(levels) - 1))


def _check_calls(model: BlipDiffusion, request: FitRequest, steps: int) -> dict[int, int]:
    """How often each number of calls is tried, the fewest calls first; asked before the long work.

    Raises: ConfigError for calls that cannot be told apart on a converged run of so many steps.
    """
    scheduler = build_scheduler("unipc", model.scheduler_config)
    set_timesteps(scheduler, steps)
    way = Way(tuple(int(one) for one in scheduler.timesteps), ())
    moves = 2 * len(_MOVES)
    return {calls: len(spacings(way, calls)) + moves * (calls - 1) for calls in sorted(set(request.calls))}


class _Counted:
    """Counts U-Net calls as they are made."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def told(self, calls: int = 1) -> FitProgress:
        """After so many more."""
        self._done += calls
        self._total = max(self._total, self._done)
        return FitProgress(self._done, self._total)

    def way(
        self, model: BlipDiffusion, predict: NoisePredictor, noise: Tensor, steps: int
    ) -> Generator[FitProgress, None, Way]:
        """Progress; returns the whole way."""
        found = Way((), ())
        for way in converged(predict, model.scheduler_config, noise, steps):
            found = way
            yield self.told()
        return found


def _nearest(
    model: BlipDiffusion, predict: NoisePredictor, way: Way, calls: int, counted: _Counted
) -> Generator[FitProgress, None, tuple[int, ...]]:
    """Progress; returns the places that come nearest to the way's end: of a spacing, each then moved if that helps."""
    best, nearest = tuple[int, ...](), math.inf

    def tried(places: tuple[int, ...]) -> FitProgress:
        nonlocal best, nearest
        _, latents = fitted(predict, model.scheduler_config, way, places)
        if (error := error_of(latents, way)) < nearest:
            best, nearest = places, error
        return counted.told(calls)

    for places in spacings(way, calls):
        yield tried(places)
    for far, call, way_on in product(_MOVES, range(1, calls), (-1, 1)):
        others = moved(way, best, call, way_on * far)
        yield tried(others) if others is not None else counted.told(calls)
    return best


def _agreement(
    model: BlipDiffusion, rows: TrialRows, table: StepTable, guidance: float, way: Way
) -> tuple[float, float]:
    """Peak signal-to-noise ratio of pictures against the converged ones, in dB: the median's, and the least."""
    tables = StepTables((table,), dict.fromkeys(SPEED_DECIBELS, len(table.timesteps)))
    scheduler = ready_scheduler(replace(model, step_tables=tables), FITTED, len(table.timesteps), guidance)
    latents = rows.noise
    for step in denoise(rows.at(guidance), scheduler, latents):
        latents = step.latents
    drawn, wanted = (decode_latents(model.vae, one.float()) for one in (latents, way.latents[-1]))
    return decibels(drawn, wanted)
