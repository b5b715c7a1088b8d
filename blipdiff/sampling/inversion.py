"""Inversion: from a picture's latents to the noise that a deterministic run would make them of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from diffusers import DDIMScheduler, SchedulerMixin
from torch import Tensor

from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment
from blipdiff.sampling.fitted import FittedScheduler
from blipdiff.sampling.loop import Step, denoise
from blipdiff.sampling.predictor import NoisePredictor
from blipdiff.sampling.schedulers import Scheduler

_STALLS = 2  # iterations that come no closer before the others are spared

InversionMethod: TypeAlias = Literal["ddim", "fixed-point"]


class InverseDDIM(SchedulerMixin):  # type: ignore[misc]
    """DDIM run backwards (Song et al. 2020, arXiv:2010.02502, eq. 14): its step solved for the noisier latents.

    DDIM's step is linear in the latents and the prediction, so its two factors are read off the step itself: the
    inverse holds for whatever the model predicts, for every spacing and for zero terminal signal. For a model of the
    noise it is diffusers' DDIMInverseScheduler; for v-prediction that one is exact only for latents and prediction of
    one noise level, this one for the prediction at the level of the noisier latents, as DDIM will make it.

    Raises: ConfigError for a scheduler whose steps cannot be undone.
    """

    order = 1
    init_noise_sigma = 1.0

    def __init__(self, forward: Scheduler) -> None:
        check_invertible(forward)
        self.forward = forward
        self.config = forward.config
        self.alphas_cumprod = forward.alphas_cumprod
        self.num_inference_steps = forward.num_inference_steps
        self.timesteps: Tensor = forward.timesteps.flip(0)

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:  # noqa: ARG002
        """The latents as they are."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: Tensor,
        sample: Tensor,
        *,
        return_dict: bool = False,  # noqa: ARG002
    ) -> tuple[Tensor]:
        """The latents from which DDIM's step at `timestep` with this prediction would lead to `sample`."""
        one = torch.ones((), dtype=torch.float64)
        zero = torch.zeros((), dtype=torch.float64)
        of_latents = float(self.forward.step(zero, timestep, one, return_dict=False)[0])
        of_prediction = float(self.forward.step(one, timestep, zero, return_dict=False)[0])
        return ((sample - of_prediction * model_output) / of_latents,)


@dataclass(frozen=True, slots=True, eq=False)
class FixedPoint:
    """A predictor that makes inversion exact: the prediction at the very latents that the step leads to.

    DDIM inversion takes the prediction at the latents before the step for that behind it. Here the step is solved as
    the fixed point that it is (Pan et al. 2023, arXiv:2309.04907), with Anderson's acceleration over the last two
    iterates of each row; longer memories gained nothing. It ends when the latents change by less than `tolerance` of
    their size, root mean square, or has twice changed them no less than before: in bfloat16 it gets no closer.

    Raises: ConfigError for less than one iteration or a negative tolerance.
    """

    predict: NoisePredictor
    inverse: InverseDDIM
    iterations: int = 8  # U-Net calls of a step at most, the first included
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.tolerance >= 0:
            raise ConfigError(
                f"{self.iterations} iterations and a tolerance of {self.tolerance} were given; at least 1 and 0."
            )

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w) before the step -> the prediction behind it, the same shape"""
        guess, before, mixed = latents, None, latents
        least, stalls = float("inf"), 0
        for _ in range(self.iterations):
            prediction = self.predict(guess, moment).float()
            residual = self._stepped(prediction, moment, latents) - guess
            mixed = prediction if before is None else _mixed(*before, prediction, residual)
            change = float((residual.square().mean() / guess.square().mean()).sqrt())
            stalls += change >= least
            if change <= self.tolerance or stalls == _STALLS:
                break
            before, least = (prediction, residual), min(change, least)
            guess = self._stepped(mixed, moment, latents)
        return mixed

    def _stepped(self, prediction: Tensor, moment: Moment, latents: Tensor) -> Tensor:
        return self.inverse.step(prediction, moment.timestep, latents)[0]


@dataclass(frozen=True, slots=True, eq=False)
class HeldSource:
    """A latent edit that keeps row 0 on the way that the inversion came (Ju et al. 2023, arXiv:2310.01506).

    "Direct inversion": what guidance and rounding make of the source row is undone after each step, so that it ends
    in the picture's own latents, and the target rows read the attention of the true picture all along.

    way: the latents of the picture, then those after each step of the inversion, each (1, channels, h, w)

    Raises: ShapeError for a run of another number of steps.
    """

    way: Sequence[Tensor]

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w) -> the same with row 0 put right"""
        if moment.count != len(self.way) - 1:
            raise ShapeError(
                f"An inversion of {len(self.way) - 1} steps was given to a run of {moment.count}; they must be equal."
            )
        source = self.way[moment.count - 1 - moment.index].to(latents)
        return torch.cat([source, latents[1:]])


def check_invertible(scheduler: Scheduler) -> None:
    """Passes for a scheduler whose run can be taken back: DDIM that neither clips nor predicts the picture itself.

    Raises: ConfigError for any other.
    """
    name = type(scheduler).__name__
    if not isinstance(scheduler, DDIMScheduler) or isinstance(scheduler, FittedScheduler):
        raise ConfigError(
            f"{name} cannot invert: its steps depend on earlier ones or on noise. Choose the scheduler ddim."
        )
    if scheduler.config.clip_sample or scheduler.config.thresholding or scheduler.config.prediction_type == "sample":
        raise ConfigError(
            f"{name} cannot invert while it clips samples or the model predicts the sample itself; set clip_sample "
            "and thresholding to false."
        )
    if scheduler.num_inference_steps is None:
        raise ConfigError("The scheduler has no timesteps yet; call set_timesteps(scheduler, steps) first.")


def invert(
    predict: NoisePredictor, scheduler: Scheduler, latents: Tensor, *, method: InversionMethod = "fixed-point"
) -> Iterator[Step]:
    """Runs the loop backwards: the last step's latents are the noise of a run with the same scheduler and predictor.

    "ddim" costs one U-Net call a step and drifts; "fixed-point" up to eight, and returns to the latents as closely as
    it is iterated.

    latents: (rows, channels, h, w) of pictures; scheduler: DDIM, readied by `set_timesteps` as for the run forwards

    Raises: ConfigError for a scheduler that cannot invert or an unknown method.
    """
    inverse = InverseDDIM(scheduler)
    if method not in ("ddim", "fixed-point"):
        raise ConfigError(f"The inversion method {method!r} was given; there are ddim and fixed-point.")
    return denoise(predict if method == "ddim" else FixedPoint(predict, inverse), inverse, latents)


def _mixed(earlier: Tensor, earlier_residual: Tensor, later: Tensor, later_residual: Tensor) -> Tensor:
    """The point on the line through two predictions whose residual is smallest, for each row (Anderson 1965)."""
    change = (later_residual - earlier_residual).flatten(1)  # (rows, values)
    share = (change * later_residual.flatten(1)).sum(1) / change.square().sum(1).clamp(min=1e-30)
    return torch.lerp(later, earlier, share.view(-1, 1, 1, 1))
