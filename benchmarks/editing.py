"""What an edit costs against two plain generations: time, and peak memory at the published size.

    python benchmarks/editing.py [--side 512] [--steps 2] [--mini-only]

First the bundled model with default settings, the median of three. Then random weights at full size, which cost what
trained ones cost, each run in a process of its own: two plain pictures, an edit whose attention is held all along (the
dearest case), and the same with self-attention opened at the latents' own 64 x 64 places, which nothing does unless
it is asked for. Memory is the process's peak beyond what it took before the first step.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from load_memory import write_checkpoint

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.loop import Step
from pipelines.edit.plan import encode_edit, plan_edit
from pipelines.edit.request import EditRequest
from pipelines.generate.request import GenerateRequest
from pipelines.plan import encode, execute, plan_encoded
from pipelines.studio import Studio

PLAIN, EDIT, OPENED = "two plain pictures", "edit", "edit, 64 x 64 self-attention opened"
HELD = {"cross_stop": 1.0, "self_stop": 1.0}


def main() -> None:
    """Prints both tables, or does one run of the second."""
    options = parsed()
    if options.one:
        print(json.dumps(one_run(options)))
        return
    mini()
    if options.mini_only:
        return
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), torch.float16, "safetensors")
        print(f"\nRandom weights at full size, {options.side} px, {torch.get_num_threads()} threads:\n")
        print("| run | s / step | peak memory beyond the weights |")
        print("| --- | --- | --- |")
        for name in (PLAIN, EDIT, OPENED):
            command = [sys.executable, __file__, "--one", name, "--folder", folder]
            command += ["--side", str(options.side), "--steps", str(options.steps)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                print(f"| {name} | did not end: {ended.stderr.strip().splitlines()[-1:]} | |", flush=True)
                continue
            found = json.loads(ended.stdout.splitlines()[-1])
            print(f"| {name} | {found['seconds']:.1f} | {found['gigabytes']:.2f} GiB |", flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--mini-only", action="store_true", help="leave out the full size")
    parser.add_argument("--one", choices=(PLAIN, EDIT, OPENED), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def mini() -> None:
    """The bundled model as it is used: an edit of a generated picture against two plain ones, at 20 steps."""
    model = Studio.open("mini").model
    print(f"The bundled model, 20 steps, {torch.get_num_threads()} threads:\n\n| run | s |\n| --- | --- |")
    runs = {PLAIN: lambda: plain_steps(model, 20, None), EDIT: lambda: edit_steps(model, 20, None, {})}
    seconds = {name: statistics.median(timed(make()) for _ in range(3)) for name, make in runs.items()}
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} ({value / seconds[PLAIN]:.2f} times) |", flush=True)


def one_run(options: argparse.Namespace) -> dict[str, float]:
    """Seconds a step and peak memory of one full-size run."""
    model = Studio.open(options.folder).model
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings: dict[str, Any] = dict(HELD) | ({"self_level": 0} if options.one == OPENED else {})
    steps = (
        plain_steps(model, options.steps, options.side)
        if options.one == PLAIN
        else edit_steps(model, options.steps, options.side, settings)
    )
    seconds = timed(steps) / options.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "gigabytes": (peak - before) / 2**20}


def subject_of(model: BlipDiffusion) -> SubjectEmbedding:
    """Some subject: what it is costs nothing."""
    return SubjectEmbedding(torch.zeros(model.subject_slots, model.text_encoder.sizes.width), "dog")


def plain_steps(model: BlipDiffusion, steps: int, side: int | None) -> Iterator[Step]:
    """Two pictures at the same time."""
    request = GenerateRequest(
        category="dog", prompt="on a beach", count=2, steps=steps, scheduler="ddim", width=side, height=side
    )
    return execute(model.unet, plan_encoded(model, encode(model, request, subject_of(model)), (0, 1)))


def edit_steps(model: BlipDiffusion, steps: int, side: int | None, settings: dict[str, Any]) -> Iterator[Step]:
    """A generated picture and its edit."""
    request = EditRequest(
        source="cat", target="dog", prompt="on a beach", steps=steps, width=side, height=side, **settings
    )
    return execute(model.unet, plan_edit(model, encode_edit(model, request, subject_of(model)), 0).sampling)


def timed(steps: Iterator[Step]) -> float:
    """Seconds that a run takes."""
    start = time.perf_counter()
    for _step in steps:
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
