"""How near few steps come to a model's converged pictures, on unseen subjects: fitted ones and plain ones side by side.

    python benchmarks/fitted_steps.py LIBRARY [--model mini] [--pairs 16] [--guidance 3 ...] [--calls 4 ...]

LIBRARY: a prepared library (docs/training.md); its held-out artist's subjects, none of which fitted anything. For each
number of calls: the median and the least of the peak signal-to-noise ratio, in dB, between the pictures and the same
noise's pictures after 200 steps of UniPC. With --choices: also how often the right subject is chosen among so many.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.protocols import Trial, draw_trials, subject_views
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from pipelines.evaluate.drawing import side_by_side, with_details
from pipelines.generate.request import GenerateRequest
from pipelines.plan import encode, execute, plan_encoded
from pipelines.studio import Studio

REFERENCE = 200


def main() -> None:
    """Prints one table for each guidance scale."""
    parser = command_line(__doc__)
    parser.add_argument("--guidance", type=float, nargs="+", help="the model's own if absent")
    parser.add_argument("--calls", type=int, nargs="+", help="those that were fitted if absent")
    parser.add_argument("--choices", type=int, default=0, help="subjects that the right one is found among")
    parser.add_argument("--plain", type=int, nargs="*", default=[8, 12, 20, 50], help="steps of UniPC beside them")
    options = parser.parse_args()
    studio = Studio.open(options.model, dtype=options.dtype)
    trials = trials_of(options)
    pairs = [one.pair for one in trials]
    choose = Chooser(options, trials) if options.choices else None
    tables = studio.model.step_tables
    calls = options.calls or ([] if tables is None else tables.calls)
    for guidance in options.guidance or [studio.model.guidance]:
        print(f"\n### guidance {guidance:g}, {len(pairs)} unseen subjects, {options.dtype}\n")
        head = ["steps", "calls", "median dB", "least dB", *(["right subject chosen"] if choose else [])]
        print("|", " | ".join(head), "|\n|" + " --- |" * len(head))
        wanted = drawn(studio, pairs, options, scheduler="unipc", steps=REFERENCE, guidance=guidance)
        for name, numbers in (("fitted", calls), ("unipc", options.plain)):
            for steps in numbers:
                found = drawn(studio, pairs, options, scheduler=name, steps=steps, guidance=guidance)
                told = [name, str(steps), *(f"{one:.1f}" for one in decibels(found, wanted))]
                print("|", " | ".join([*told, *([choose.hits(found)] if choose else [])]), "|", flush=True)


def command_line(about: str | None) -> argparse.ArgumentParser:
    """What the benchmarks on unseen subjects are asked for."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    return parser


def unseen(options: argparse.Namespace) -> list:
    """Pairs of subjects and scenes of the library's held-out artist."""
    return [one.pair for one in trials_of(options)]


def trials_of(options: argparse.Namespace) -> list[Trial]:
    """Each pair with the subjects among which its own is to be found."""
    library, choices = PairLibrary(options.library), getattr(options, "choices", 0) or 2
    return draw_trials(library, "held_out", subjects=options.pairs, pictures=1, choices=choices, seed=options.seed)


class Chooser:
    """How often the evaluation's metrics see the right subject in its picture more than any other."""

    def __init__(self, options: argparse.Namespace, trials: list[Trial]) -> None:
        library = PairLibrary(options.library)
        self._metrics = Ensemble.of_library(library)
        self._trials = [(one.right, subject_views(library, one.candidates)) for one in trials]

    def hits(self, found: Tensor) -> str:
        """found: (n, 3, H, W) in [0, 1]"""
        pictures = [np.asarray(one) for one in to_pictures(found)]
        pairs = zip(pictures, self._trials, strict=True)
        count = sum(self._metrics.ranked(picture, views)[0] == right for picture, (right, views) in pairs)
        return f"{count} of {len(pictures)}"


def drawn(studio: Studio, pairs: list, options: argparse.Namespace, **asked: Any) -> Tensor:
    """(pairs, 3, H, W) in [0, 1], each from its own seed."""
    model, found = studio.model, []
    for first in range(0, len(pairs), options.batch):
        plans = []
        for place, pair in enumerate(pairs[first : first + options.batch], first):
            request = GenerateRequest(category=pair.category, prompt=pair.prompt, count=1, **asked)
            subject = model.encode_subject(SubjectPhoto(Image.fromarray(pair.photo), pair.category), fit="pad")
            plan = plan_encoded(model, encode(model, request, subject), [1000 + place])
            plans.append(with_details(model, request, Image.fromarray(pair.photo), subject, plan))
        *_, last = execute(model.unet, side_by_side(plans))
        found.append(decode_latents(model.vae, last.latents).float())
    return torch.cat(found)


def decibels(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The median and the least peak signal-to-noise ratio of pictures, (n, 3, H, W) in [0, 1]."""
    ratios = -10 * (found - wanted).square().mean((1, 2, 3)).clamp(min=1e-10).log10()
    return float(ratios.median()), float(ratios.min())


if __name__ == "__main__":
    main()
