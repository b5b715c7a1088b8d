"""Speed and memory at the published size with random weights: a table for docs/speed.md.

    python benchmarks/full_size.py [--side 512] [--steps 20] [--quick] [--engine torch]

Times one guided step (two rows of the U-Net) in float32 and bfloat16, each in both memory formats and with both
attention kernels, as a share of what a plain matrix product reaches in the same dtype; then a whole picture through
the pipeline's own classes, and the peak memory of the process. Random weights cost what trained ones cost.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from load_memory import write_checkpoint
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from blipdiff.checkpoints import configs
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.devices import placement
from blipdiff.ranges import ENGINES, TORCH
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.studio import Studio

ROWS, SLOTS, WIDTH = 2, 77, 768  # guidance runs two rows


def main() -> None:
    """Prints the tables."""
    options = parsed()
    torch.manual_seed(0)
    latent = options.side // 8
    flops = step_flops(latent)
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; a guided step at {options.side} px: "
        f"{flops / 1e12:.2f} TFLOP\n"
    )
    print("| dtype | memory format | attention | s / step | TFLOP/s | share of matmul |")
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in (torch.float32, torch.bfloat16):
        peak = matmul_rate(dtype)
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
        unet = filled(unet, dtype)
        for layout in (torch.contiguous_format, torch.channels_last):
            unet.to(memory_format=layout)
            for kernel in ("fused",) if options.quick else ("fused", "plain"):
                seconds = step_seconds(unet, latent, layout, plain=kernel == "plain", repeats=options.repeats)
                rate = flops / seconds
                print(
                    f"| {name_of(dtype)} | {name_of(layout)} | {kernel} | {seconds:.2f} | {rate / 1e12:.3f} "
                    f"| {rate / peak:.0%} of {peak / 1e12:.3f} |",
                    flush=True,
                )
        del unet
    whole_picture(options.side, options.steps, options.engine)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, default=TORCH, help="what draws the whole picture")
    parser.add_argument("--quick", action="store_true", help="leave out the plain attention kernel")
    return parser.parse_args()


def filled(net: UNet2DConditionModel, dtype: torch.dtype) -> UNet2DConditionModel:
    """The network with small random weights in `dtype`."""
    net = net.to(dtype).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.02)
    return net.eval()


def inputs(latent: int, dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Latents, timestep and context of one guided step."""
    return (
        torch.randn(ROWS, 4, latent, latent, device=device).to(dtype),
        torch.tensor(500, device=device),
        torch.randn(ROWS, SLOTS, WIDTH, device=device).to(dtype),
    )


def step_flops(latent: int) -> float:
    """Floating-point operations of one guided step, counted on the meta device."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(*inputs(latent, torch.float32, "meta"))
    return float(counter.get_total_flops())


def matmul_rate(dtype: torch.dtype) -> float:
    """Operations a second of a large square matrix product: the roofline that a step is measured against."""
    left, right = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    return 2 * 2048**3 / median_seconds(lambda: left @ right, repeats=9)


def step_seconds(
    unet: UNet2DConditionModel, latent: int, layout: torch.memory_format, *, plain: bool, repeats: int
) -> float:
    """The median time of one guided step, after one to warm up."""
    latents, timestep, context = inputs(latent, unet.dtype)
    latents = latents.to(memory_format=layout)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        return median_seconds(lambda: unet(latents, timestep, context), repeats=repeats)


def median_seconds(work: Callable[[], object], *, repeats: int) -> float:
    """The median of `repeats` runs after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def whole_picture(side: int, steps: int, engine: str) -> None:
    """A picture from photo and prompt in the dtype that is chosen here, by the classes that users call."""
    place = placement()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), torch.float16, "safetensors")
        start = time.perf_counter()
        studio = Studio.open(folder, engine=engine)
        loaded = time.perf_counter()
        subject = studio.subject([SubjectPhoto(Image.new("RGB", (640, 480), "orange"), "dog")])
        request = GenerateRequest(category="dog", prompt="on a beach", count=1, steps=steps, width=side, height=side)
        for _event in run(studio, Job.of(request, subject=subject)):
            pass
        done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\nA picture of {side} px in {steps} steps, {place.dtype_name} on {place.device} by {studio.engine.name}: "
        f"{done - loaded:.1f} s, "
        f"after {loaded - start:.1f} s of loading; peak memory {peak:.1f} GiB (the measurements above included)."
    )


def name_of(value: object) -> str:
    """A torch constant without its module's name."""
    return str(value).removeprefix("torch.").removesuffix("_format")


if __name__ == "__main__":
    main()
