"""What a path of blends costs: its time against single pictures drawn in batches, and how often anything is encoded.

    python benchmarks/blending.py [--model mini] [--frames 25] [--steps 10] [--batch 4] [--rounds 2]

A path with perceptual spacing is drawn whole, from two photos. Against it stand as many pictures of one subject in
batches of the same size, their subject and words encoded as well; the quicker of the rounds counts for either. Time is
the processor's own, so that other work on the machine does not count.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.images import open_picture
from pipelines.blend.request import BlendRequest
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.studio import Studio

SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
MOST = 1.1  # times the single pictures


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    model = Studio.open(asked.model, dtype="float32").model
    photos = [SubjectPhoto(open_picture(SUBJECTS / f"{name}.png"), name) for name in ("balloon", "padlock")]
    path = BlendRequest(prompt="on a beach", frames=asked.frames, steps=asked.steps, batch=asked.batch)
    single = GenerateRequest(
        category="balloon", prompt="on a beach", count=asked.frames, steps=asked.steps, batch=asked.batch
    )
    _draw_singles(Studio(model), single, photos[:1], steps=1)  # the first run pays for warming up
    times: dict[str, list[float]] = {"path": [], "singles": []}
    for _ in range(asked.rounds):
        with counted(model) as calls:
            start = time.process_time()
            for _event in run(Studio(model), Job.of(path, subject=photos)):
                pass
            times["path"].append(time.process_time() - start)
        start = time.process_time()
        _draw_singles(Studio(model), single, photos[:1], steps=asked.steps)
        times["singles"].append(time.process_time() - start)
    ratio = min(times["path"]) / min(times["singles"])
    print(f"| {asked.frames} frames, {asked.steps} steps, batches of {asked.batch} | |")
    print("| --- | --- |")
    print(f"| path with perceptual spacing | {min(times['path']):.2f} s |")
    print(f"| as many single pictures in batches | {min(times['singles']):.2f} s |")
    print(f"| ratio (at most {MOST}) | {ratio:.3f} |")
    print(f"| photos encoded, of 2 | {calls['photos']} |")
    print(f"| rows of text encoded, for {asked.frames} frames | {calls['texts']} |")
    print(f"| rows through the U-Net, guidance included | {calls['unet']} |")


def _draw_singles(studio: Studio, request: GenerateRequest, photos: list[SubjectPhoto], *, steps: int) -> None:
    asked = GenerateRequest(
        category=request.category,
        prompt=request.prompt,
        count=request.count if steps > 1 else 1,
        steps=steps,
        batch=request.batch,
    )
    for _event in run(studio, Job.of(asked, subject=photos)):
        pass


@contextmanager
def counted(model: Any) -> Iterator[Counter[str]]:
    """Counts the rows that each network is given."""
    calls: Counter[str] = Counter()
    nets: dict[str, torch.nn.Module] = {
        "photos": model.subject_encoder,
        "texts": model.text_encoder,
        "unet": model.unet,
    }
    hooks = [
        net.register_forward_pre_hook(lambda _net, given, name=name: calls.update({name: len(given[0])}))
        for name, net in nets.items()
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


if __name__ == "__main__":
    main()
