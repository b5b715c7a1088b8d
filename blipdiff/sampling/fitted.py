"""The scheduler of fitted steps: weights of its own for each call, measured on the model that it draws with."""

from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from blipdiff.errors import ConfigError
from blipdiff.models.step_tables import HISTORY, StepTables


class FittedScheduler(DDIMScheduler):  # type: ignore[misc]
    """Runs a model's own `StepTables`, the noise schedule and its arithmetic being DDIM's.

    A run may begin in the middle: its first calls use the weights for as many predictions as there are.
    """

    tables: StepTables
    guidance: float = 1.0  # of the run

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Raises: ConfigError for a number of calls that was not fitted."""
        table = self.tables.table(num_inference_steps)
        self.num_inference_steps = num_inference_steps
        self.timesteps = torch.tensor(table.timesteps, dtype=torch.int64, device=device)
        self._weights, self._predicted, self._index = table.at(self.guidance), list[Tensor](), 0

    def set_begin_index(self, begin_index: int = 0) -> None:
        """The call that the run begins with."""
        self._index, self._predicted = begin_index, []

    def step(  # type: ignore[override]
        self, model_output: Tensor, timestep: Any, sample: Tensor, **_unused: Any
    ) -> tuple[Tensor]:
        """model_output, sample: (rows, channels, h, w) -> (the latents of the next call, the same shape)"""
        if self._index >= len(self.timesteps):
            raise ConfigError(f"All {len(self.timesteps)} fitted steps are done; call set_timesteps first.")
        signal = self.alphas_cumprod[int(timestep)].to(sample)
        clean = clean_latents(model_output, sample, signal, self.config.prediction_type)
        self._predicted = [clean, *self._predicted[: HISTORY - 1]]
        own, *weights = self._weights[self._index][len(self._predicted) - 1]
        self._index += 1
        following = own * sample
        for weight, predicted in zip(weights, self._predicted, strict=True):
            following = following + weight * predicted
        return (following,)


def clean_latents(prediction: Tensor, sample: Tensor, signal: Tensor, kind: str) -> Tensor:
    """The clean latents that a prediction implies (Salimans, Ho 2022, arXiv:2202.00512, app. D).

    prediction, sample: (rows, channels, h, w); signal: (), the cumulative product of alphas; kind: "epsilon" and so on
    """
    if kind == "sample":
        return prediction
    if kind == "v_prediction":
        return signal.sqrt() * sample - (1 - signal).sqrt() * prediction
    return (sample - (1 - signal).sqrt() * prediction) / signal.clamp(min=2**-24).sqrt()
