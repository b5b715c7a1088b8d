"""Steps fitted to a model: its converged trajectories, the calls that come nearest to them, and their weights.

The timesteps are chosen as in GITS (Chen et al. 2024, arXiv:2405.11326: the model's own dense path says where calls
matter), among spacings of two parameters, and then moved one by one; the weights by least squares at each call in turn,
from the latents that the calls before it have led to, so that each call also mends what those have missed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from blipdiff.errors import ConfigError, NumericsError
from blipdiff.models.step_tables import HISTORY, Weights
from blipdiff.moment import Moment
from blipdiff.sampling.fitted import clean_latents
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import NoisePredictor
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

CONVERGED = 200  # steps of UniPC, whose pictures differ from those of 1,000 of DDIM by 61 dB on the bundled model
_EARLY, _LATE = (1.2, 1.5, 1.7, 2.0), (0.7, 0.8, 1.0)  # exponents of the spacings that are tried
_DIGITS = 7  # of a weight
_STEADY = 1e-6  # of the columns' own size: keeps weights small where predictions hardly differ


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Converged trajectories: latents before each call at `timesteps`, and at last without noise.

    latents: for each, (rows, channels, h, w)
    """

    timesteps: tuple[int, ...]
    latents: tuple[Tensor, ...]

    def of_rows(self, count: int) -> "Way":
        """The same of the first rows alone."""
        return Way(self.timesteps, tuple(one[:count] for one in self.latents))

    def near(self, timestep: float) -> int:
        """The place of the timestep that is nearest."""
        return min(range(len(self.timesteps)), key=lambda place: abs(self.timesteps[place] - timestep))


def converged(
    predict: NoisePredictor, config: Mapping[str, Any], noise: Tensor, steps: int = CONVERGED
) -> Iterator[Way]:
    """The way of these rows of noise, growing call by call; the last one is whole.

    config: the checkpoint's noise schedule; noise: (rows, channels, h, w)
    """
    scheduler = build_scheduler("unipc", config)
    set_timesteps(scheduler, steps, noise.device)
    timesteps, found = tuple(int(one) for one in scheduler.timesteps), [noise.float()]
    for step in denoise(predict, scheduler, noise):
        found.append(step.latents)
        yield Way(timesteps, tuple(found))


def spacings(way: Way, calls: int) -> list[tuple[int, ...]]:
    """Places of `calls` timesteps on a way, the noisiest first, in the spacings that are tried.

    Raises: ConfigError for a number of calls that the way has no room for.
    """
    found = dict[tuple[int, ...], None]()
    for early, late in product(_EARLY, _LATE):
        shares = [place / calls for place in range(calls)]
        bent = [share**early / (share**early + (1 - share) ** late) for share in shares]
        places = tuple(way.near(way.timesteps[0] * (1 - share)) for share in bent)
        if all(high < low for high, low in pairwise(places)):
            found[places] = None
    if not found:
        raise ConfigError(f"{calls} calls cannot be told apart on a way of {len(way.timesteps)}; fit fewer.")
    return list(found)


def moved(way: Way, places: Sequence[int], call: int, by: int) -> tuple[int, ...] | None:
    """The places with one call's moved along the way; None where it would meet its neighbour, or leave the way."""
    found = tuple(place + by if index == call else place for index, place in enumerate(places))
    falls = all(high < low for high, low in pairwise(found))
    return found if falls and found[-1] < len(way.timesteps) else None


def fitted(
    predict: NoisePredictor, config: Mapping[str, Any], way: Way, places: Sequence[int]
) -> tuple[Weights, Tensor]:
    """The weights of calls at these places of a way, and the latents without noise that they lead to.

    Raises: NumericsError where the model's predictions are not finite.
    """
    signals, kind = build_scheduler("ddim", config).alphas_cumprod, str(config.get("prediction_type", "epsilon"))
    latents, predicted, weights = way.latents[0].double(), list[Tensor](), []
    for call, place in enumerate(places):
        timestep = torch.tensor(way.timesteps[place])
        with torch.no_grad():
            raw = predict(latents.float(), Moment(call, len(places), timestep.to(latents.device)))
        signal = signals[int(timestep)].to(latents)
        predicted = [clean_latents(raw.double(), latents, signal, kind), *predicted[: HISTORY - 1]]
        target = way.latents[places[call + 1] if call + 1 < len(places) else -1].double()
        rows = [_weights([latents, *predicted[: count + 1]], target) for count in range(len(predicted))]
        weights.append(tuple(tuple(float(f"{one:.{_DIGITS}g}") for one in row.tolist()) for row in rows))
        latents = sum(weight * one for weight, one in zip(rows[-1], [latents, *predicted], strict=True))  # type: ignore[assignment]
    return tuple(weights), latents


def error_of(latents: Tensor, way: Way) -> float:
    """How far latents without noise, (rows, channels, h, w), are from a way's end: the rows' mean error, in dB."""
    squares = (latents.double() - way.latents[-1].double()).square().mean(tuple(range(1, latents.ndim)))
    return float(10 * squares.clamp(min=1e-12).log10().mean())


def _weights(columns: Sequence[Tensor], target: Tensor) -> Tensor:
    """(columns,) of float64: the least squares of their sum against the target, kept from growing without need.

    Raises: NumericsError for what is not finite.
    """
    table = torch.stack([column.flatten() for column in columns], dim=1)
    products = table.T @ table
    steady = _STEADY * torch.eye(len(columns), dtype=products.dtype, device=products.device) * products.diag().mean()
    found: Tensor = torch.linalg.solve(products + steady, table.T @ target.flatten())
    if not bool(torch.isfinite(found).all()):
        raise NumericsError("The model's predictions are not finite; no steps can be fitted to them.")
    return found.cpu()
