"""How soon each scheduler agrees with its own 200-step result, in U-Net calls: where the default scheduler comes from.

    python benchmarks/schedulers.py [--model mini] [--guidance 7.5 ...] [--pairs 8] [--threshold 35]

The subjects are the bundled photos. For each scheduler and number of steps: the median over the pairs of the peak
signal-to-noise ratio between the picture and the same noise's picture after 200 steps of the same scheduler. 35 dB is
a root mean square difference of 4.5 of 255 levels, about what saving as JPEG at quality 90 does: side by side the two
pictures look the same.
Schedulers that draw fresh noise at every step (euler-a, lcm) converge to no one picture and take no part.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import SCHEDULER_NAMES
from blipdiff.sampling.schedulers import build_scheduler, draws_noise
from pipelines.evaluate.drawing import side_by_side
from pipelines.generate.request import GenerateRequest
from pipelines.plan import SamplingPlan, encode, execute, plan_encoded
from pipelines.studio import Studio

STEPS = (5, 8, 10, 15, 20, 25, 30, 50)
REFERENCE = 200
SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
PAIRS = (
    ("balloon", "on a beach"),
    ("tractor", "in the snow"),
    ("umbrella", "under a night sky"),
    ("croissant", "on a wooden table"),
    ("padlock", "on a blue background"),
    ("popcorn", "on a grass field"),
    ("eggplant", "in a forest, as a watercolor painting"),
    ("coffee", "in space"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """The pictures of one scheduler at one number of steps: (pairs, 3, H, W) in [0, 1]."""

    pictures: Tensor
    latents: Tensor
    calls: int
    seconds: float


def main() -> None:
    """Prints one table for each guidance scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--guidance", type=float, nargs="+", help="the model's own if absent")
    parser.add_argument("--pairs", type=int, default=len(PAIRS), choices=range(1, len(PAIRS) + 1))
    parser.add_argument("--threshold", type=float, default=35.0, help="dB, of the median picture")
    parser.add_argument("--dtype", default="auto")
    arguments = parser.parse_args()
    model = Studio.open(arguments.model, dtype=arguments.dtype).model
    for guidance in dict.fromkeys(arguments.guidance or [model.guidance]):
        report(model, guidance, arguments.pairs, arguments.threshold)


def report(model: BlipDiffusion, guidance: float, pairs: int, threshold: float) -> None:
    """The table of one guidance scale, a row as soon as it is known, and the contest's outcome."""
    print(f"\n### guidance {guidance:g}, {pairs} pictures, {model.unet.dtype}\n")
    head = " | ".join(f"{steps} steps" for steps in STEPS)
    print(f"| scheduler | {head} | calls to {threshold:g} dB | latents' RMS there | seconds a call |")
    print("| --- |" + " --- |" * (len(STEPS) + 3))
    reached: dict[str, int] = {}
    for name in SCHEDULER_NAMES:
        if draws_noise(build_scheduler(name, model.scheduler_config)):
            continue
        try:
            reference = run(model, name, REFERENCE, guidance, pairs)
        except ConfigError as error:
            print(f"| {name} | {error} |")
            continue
        runs = {steps: run(model, name, steps, guidance, pairs) for steps in STEPS}
        decibels = {steps: agreement(found, reference) for steps, found in runs.items()}
        enough = next((steps for steps in STEPS if decibels[steps] >= threshold), None)
        if enough is not None:
            reached[name] = runs[enough].calls
        row = " | ".join(f"{decibels[steps]:.1f} ({runs[steps].calls})" for steps in STEPS)
        apart = (
            "-" if enough is None else f"{float((runs[enough].latents - reference.latents).square().mean().sqrt()):.3f}"
        )
        calls = "-" if enough is None else runs[enough].calls
        print(f"| {name} | {row} | {calls} | {apart} | {reference.seconds / reference.calls:.3f} |", flush=True)
    best = sorted(reached.items(), key=lambda item: item[1])
    print("\nIn brackets: U-Net calls. " + outcome(best, threshold))


def outcome(best: list[tuple[str, int]], threshold: float) -> str:
    """The contest's result in a sentence."""
    if not best:
        return f"No scheduler came within {threshold:g} dB of its own {REFERENCE}-step pictures in {STEPS[-1]} steps."
    fewest = best[0][1]
    winners = ", ".join(name for name, calls in best if calls == fewest)
    return f"Fewest calls to {threshold:g} dB: {winners} ({fewest})."


def run(model: BlipDiffusion, scheduler: str, steps: int, guidance: float, pairs: int) -> Run:
    """The pairs' pictures, drawn side by side, each from its own seed."""
    plan = side_by_side([single(model, place, scheduler, steps, guidance) for place in range(pairs)])
    start, calls, latents = time.perf_counter(), 0, plan.latents
    for step in execute(model.unet, plan):
        calls, latents = calls + 1, step.latents
    seconds = time.perf_counter() - start
    return Run(decode_latents(model.vae, latents), latents, calls, seconds)


def single(model: BlipDiffusion, place: int, scheduler: str, steps: int, guidance: float) -> SamplingPlan:
    """The plan of one pair."""
    category, prompt = PAIRS[place]
    request = GenerateRequest(
        category=category, prompt=prompt, count=1, steps=steps, guidance=guidance, scheduler=scheduler
    )
    subject = model.encode_subject(SubjectPhoto(open_picture(SUBJECTS / f"{category}.png"), category), fit="pad")
    return plan_encoded(model, encode(model, request, subject), [place])


def agreement(found: Run, reference: Run) -> float:
    """The median over the pictures of the peak signal-to-noise ratio, in dB."""
    errors = (found.pictures - reference.pictures).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float((-10 * errors.log10()).median()) if len(errors) else math.nan


if __name__ == "__main__":
    main()
