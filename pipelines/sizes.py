"""What a job's pictures cost, and what there is to say of a size before the work."""

from collections.abc import Iterable

import torch

from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from blipdiff.ranges import FAR_TIMES, MOST_SIDES, duration
from blipdiff.sampling.cost import Size, own_size, seconds_of, shallow_share, times_own
from blipdiff.stand_ins import is_held
from pipelines.plan import SamplingPlan, predictor_of

_CONTROL = 0.4  # of a U-Net's operations: a ControlNet is its first half


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
    longer, shorter = max(size), min(size)
    if longer > MOST_SIDES * shorter * side_by_side:
        return f"{about}: one side is {longer / shorter:.0f} times the other, and few of its places show a subject."
    if times < FAR_TIMES:
        return None
    return f"{about}: expect repetitions and textures. They take about {duration(_seconds(model, size, plans))} here."


def _seconds(model: BlipDiffusion, size: Size, plans: Iterable[tuple[SamplingPlan, int]]) -> float:
    """What all the plans take, each timed by what computes it."""
    work = {True: (0.0, 0), False: (0.0, 0)}
    for plan, runs in plans:
        predict = predictor_of(model.unet, plan)
        by_stand_in = is_held(model.unet) and predict.may_stand_in
        share = 1.0 if predict.deep is None else shallow_share(model, plan.caching.branch)
        rows, pictures = work[by_stand_in]
        work[by_stand_in] = rows + unet_rows(plan, share) * runs, pictures + plan.guidance.rows * runs
    times = [seconds_of(model, size, round(r), p, by_stand_in=which) for which, (r, p) in work.items() if r]
    return sum(times)


def unet_rows(plan: SamplingPlan, shallow: float = 1.0) -> float:
    """Rows of all the U-Net calls of a plan, what its controls add included.

    shallow: what a row costs in a call that takes deep features again
    """
    count = len(plan.scheduler.timesteps)
    rows = 0.0
    for index in range(plan.start, count):
        guided = plan.guidance.guided_rows(Moment(index, count, torch.tensor(0)))
        share = 1.0 if plan.controls or plan.caching.is_whole(index) else shallow
        rows += (plan.guidance.rows + len(guided)) * share
    return rows * (1 + _CONTROL * len(plan.controls))
