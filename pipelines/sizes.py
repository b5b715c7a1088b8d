"""What a model is for, and what is said of sizes far from its own, before anything is drawn."""

from collections.abc import Iterable

import torch

from blipdiff.errors import ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from blipdiff.ranges import FAR_TIMES, OWN_TIMES, spoken
from blipdiff.sampling.cost import Size, most_pixels, own_size, seconds_of, times_own
from pipelines.plan import SamplingPlan

BUNDLED = "mini"
_CONTROL = 0.4  # of a U-Net's operations: a ControlNet is its first half


def purpose(model: BlipDiffusion) -> str | None:
    """One sentence about what a model is for, where it is not for everything: the bundled one is not."""
    if model.name != BUNDLED:
        return None
    width, height = own_size(model)
    return (
        f"mini is a small model for trying things: it draws drawn things at {width} x {height} pixels. Photographs "
        "take the published weights: add --model Salesforce/blipdiffusion --download to the command."
    )


def check_size(model: BlipDiffusion, size: Size) -> Size:
    """The size itself, where the model can be asked for it.

    Raises: ConfigError for one far above the model's own, which would take hours and show nothing.
    """
    if size[0] * size[1] <= most_pixels(model):
        return size
    width, height = own_size(model)
    raise ConfigError(
        f"{size[0]} x {size[1]} pixels were asked for; {model.name} was trained at {width} x {height}, and draws at "
        f"most {OWN_TIMES} times as many pixels (512 x 512 in any case). Draw smaller, and enlarge the picture."
    )


def size_notice(
    model: BlipDiffusion, size: Size, plans: Iterable[tuple[SamplingPlan, int]], *, side_by_side: int = 1
) -> str | None:
    """One sentence where the pictures are far larger or smaller than the model's own, with the time that they take.

    plans: each with how often it runs; side_by_side: pictures of the model's own size that one picture holds
    """
    times = times_own(model, size) / side_by_side
    width, height = own_size(model)
    about = f"{size[0]} x {size[1]} pixels are far from the {width} x {height} that {model.name} was trained at"
    if times < 1 / FAR_TIMES**2:
        return f"{about}: too few for a subject to be told."
    if times < FAR_TIMES:
        return None
    given = list(plans)
    rows = sum(unet_rows(plan) * runs for plan, runs in given)
    pictures = sum(plan.guidance.rows * runs for plan, runs in given)
    seconds = seconds_of(model, size, round(rows), pictures)
    return f"{about}: expect repetitions and textures. They take about {spoken(seconds)} here."


def unet_rows(plan: SamplingPlan) -> float:
    """Rows of all the U-Net calls of a plan, what its controls add included."""
    count = len(plan.scheduler.timesteps)
    moments = [Moment(index, count, torch.tensor(0)) for index in range(count)]
    rows = sum(plan.guidance.rows + len(plan.guidance.guided_rows(moment)) for moment in moments)
    return rows * (1 + _CONTROL * len(plan.controls))
