"""What details cost: seconds of a picture without, read by a detail adapter, and read without training.

An adapter sees the photo anew or remembers it; without one the photo's states are computed at each step, or kept.

    python benchmarks/details.py [--model mini] [--steps 12] [--batch 4] [--repeats 3]
    python benchmarks/details.py --full [--side 512] [--steps 2] [--dtype bfloat16]

`--full` takes random weights of Stable Diffusion 1.5's sizes, which cost what trained ones cost.
"""

import argparse
import time
from collections.abc import Callable
from typing import TypeAlias

import torch
from diffusers import UNet2DConditionModel

from blipdiff.attention.context import KeyValueSource
from blipdiff.attention.reference import Read, Reference, ReferenceAttention, ReferenceStates
from blipdiff.checkpoints import configs, load_model
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.diffusers_types import UNet
from blipdiff.latents import noise
from blipdiff.models.detail_adapter import DetailAdapter
from blipdiff.sampling.adapted import AdaptedRead, AdaptedReading, SeenReference
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from blipdiff.training.details import initial_adapter
from pipelines.plan import SamplingPlan, execute

SLOTS = 77
FOREGROUND = 0.75  # of a reference's sides: 56 % of its places are inside

Seen: TypeAlias = ReferenceStates | SeenReference


def main() -> None:
    """Prints the table."""
    options = parsed()
    torch.manual_seed(0)
    unet, adapter = full_size(getattr(torch, options.dtype)) if options.full else loaded(options.model)
    side = options.side // 8 if options.full else int(unet.config.sample_size)
    given = reference(unet, side)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {unet.dtype}, {side} x {side} latents")
    print(f"{options.batch} pictures at a time, {options.steps} steps\n")
    print("| details | s / picture | added |\n| --- | --- | --- |")
    seconds(unet, None, side, options)  # the first call pays for warming up
    plain = min(seconds(unet, None, side, options) for _ in range(options.repeats))
    print(f"| none | {plain:.2f} | |", flush=True)
    kept, remembered = ReferenceStates(unet, given, most_bytes=2**40), SeenReference(unet, adapter, given)
    ways: dict[str, Callable[[], Seen]] = {
        "adapter, a new photo": lambda: SeenReference(unet, adapter, given),
        "adapter, remembered": lambda: remembered,
        "without training, computed at each step": lambda: ReferenceStates(unet, given, most_bytes=0),
        "without training, kept": lambda: kept,
    }
    for name, states in ways.items():
        seconds(unet, states(), side, options)  # what is kept is kept now
        taken = min(seconds(unet, states(), side, options) for _ in range(options.repeats))
        print(f"| {name} | {taken:.2f} | {taken / plain - 1:+.0%} |", flush=True)
    print(f"\n{kept.moment_bytes / 2**20:.2f} MiB a step are kept")


def loaded(model: str) -> tuple[UNet, DetailAdapter]:
    """A model's U-Net and its adapter, or a fresh one."""
    found = load_model(model)
    return found.unet, found.detail_adapter or fresh(found.unet)


def fresh(unet: UNet) -> DetailAdapter:
    """An adapter that has learned nothing, which costs what a trained one costs."""
    adapter: DetailAdapter = initial_adapter(unet, seed=0).eval().requires_grad_(False)
    return adapter.to(unet.dtype)


def full_size(dtype: torch.dtype) -> tuple[UNet, DetailAdapter]:
    """A U-Net of Stable Diffusion 1.5's sizes with small random weights, and an adapter for it."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
    unet = unet.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for weight in unet.parameters():
        weight.normal_(std=0.02)
    unet = unet.to(memory_format=torch.channels_last)
    return unet, fresh(unet)


def reference(unet: UNet, side: int) -> Reference:
    """Noise whose middle is the subject."""
    mask, margin = torch.zeros(side, side), round(side * (1 - FOREGROUND) / 2)
    mask[margin : side - margin, margin : side - margin] = 1
    clean, other = noise([1, 2], (int(unet.config.in_channels), side, side)).split(1)
    return Reference(clean, other, mask, torch.randn(1, SLOTS, int(unet.config.cross_attention_dim)))


def seconds(unet: UNet, states: Seen | None, side: int, options: argparse.Namespace) -> float:
    """A guided run, for each of its pictures."""
    layouts = (TokenLayout(("x</w>",) * SLOTS),) * options.batch
    width = int(unet.config.cross_attention_dim)
    words = [Conditioning(torch.randn(options.batch, SLOTS, width), layouts) for _ in range(2)]
    scheduler = build_scheduler("ddim", configs.PNDM)
    set_timesteps(scheduler, options.steps)
    source: KeyValueSource | None = None
    if isinstance(states, SeenReference):
        source = AdaptedReading((AdaptedRead(states),), 0.7, (side, side))
    elif states is not None:
        source = ReferenceAttention((Read(states),), 0.6, scheduler.alphas_cumprod, (side, side))
    latents = noise(list(range(options.batch)), (int(unet.config.in_channels), side, side))
    plan = SamplingPlan(Guidance.even(words[0], words[1], 7.5), latents, scheduler, more_keys=source)
    start = time.perf_counter()
    for _ in execute(unet, plan):
        pass
    return (time.perf_counter() - start) / len(latents)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
