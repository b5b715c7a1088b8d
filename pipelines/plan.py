"""A task's plan, which is a value, and the one executor that runs any plan."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from blipdiff.attention.context import KeyValueSource, SiteConditioning
from blipdiff.attention.taps import AttentionTap, tapped
from blipdiff.conditioning.guidance import Guidance
from blipdiff.diffusers_types import UNet
from blipdiff.sampling.loop import LatentEdit, Step, denoise
from blipdiff.sampling.predictor import Control, GuidedPredictor, NoisePredictor
from blipdiff.sampling.schedulers import Scheduler


@dataclass(frozen=True, slots=True, eq=False)
class SamplingPlan:
    """Everything that one run of the loop needs.

    latents: (rows, channels, h, w) of standard normal noise, one row for each row of the guidance;
    wrap: makes another predictor of the plan's own, such as one that also predicts tiles
    """

    guidance: Guidance
    latents: Tensor
    scheduler: Scheduler
    controls: Sequence[Control] = ()
    taps: Sequence[AttentionTap] = ()
    edits: Sequence[LatentEdit] = ()
    generators: Sequence[torch.Generator] | None = field(default=None)
    conditioning: SiteConditioning | None = None
    more_keys: KeyValueSource | None = None
    wrap: Callable[[GuidedPredictor], NoisePredictor] | None = None


def execute(unet: UNet, plan: SamplingPlan) -> Iterator[Step]:
    """Runs a plan; the caller's `for` shows progress, and leaving it stops the run.

    Taps are on the U-Net only while a step is computed: whenever the caller has the word, it is as it was found,
    however long the caller keeps a run that it has stopped.
    """
    guided = GuidedPredictor(unet, plan.guidance, plan.controls, plan.taps, plan.conditioning, plan.more_keys)
    predict: NoisePredictor = guided if plan.wrap is None else plan.wrap(guided)
    listens = bool(plan.taps) or plan.conditioning is not None or plan.more_keys is not None
    steps = denoise(predict, plan.scheduler, plan.latents, plan.edits, plan.generators)
    while True:
        with tapped(unet) if listens else nullcontext():
            step = next(steps, None)
        if step is None:
            return
        yield step
