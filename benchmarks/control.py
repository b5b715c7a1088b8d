"""What control costs: time per step for none, one and two branches at full size, and what windows save.

    python benchmarks/control.py [--side 512] [--steps 4] [--dtype bfloat16] [--tiny]

Random weights of Stable Diffusion 1.5's sizes cost what trained ones cost. Every row is a whole guided run of the one
loop; `--tiny` runs the bundled model's sizes instead, to try the script.
"""

import argparse
import time
from collections.abc import Sequence

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from blipdiff.checkpoints import configs
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.control.controlnet import ControlBranch
from blipdiff.latents import noise
from blipdiff.moment import Window
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

SLOTS = 77
TINY = {
    "block_out_channels": (96, 192, 192),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 192,
    "attention_head_dim": (3, 6, 6),
}


def main() -> None:
    """Prints the table."""
    options = parsed()
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    unet, net = networks(TINY if options.tiny else dict(configs.SD15_UNET), dtype)
    latent = options.side // 8
    picture = torch.rand(1, 3, options.side, options.side)
    half = Window(0.0, 0.5)
    rows: list[tuple[str, Sequence[ControlBranch]]] = [
        ("no control", []),
        ("one branch", [ControlBranch(net, picture)]),
        ("two branches", [ControlBranch(net, picture, 0.5)] * 2),
        ("one, guess mode", [ControlBranch(net, picture, conditional_only=True)]),
        ("one, the first half of the run", [ControlBranch(net, picture, window=half)]),
        ("two, the first half of the run", [ControlBranch(net, picture, 0.5, half)] * 2),
    ]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.dtype}, {options.side} px\n")
    print("| control | s / step | added | of a full branch's added time |")
    print("| --- | --- | --- | --- |")
    run_seconds(unet, [], latent, 1)  # the first call pays for warming up
    plain = full = 0.0
    for name, branches in rows:
        seconds = run_seconds(unet, branches, latent, options.steps) / options.steps
        plain = plain or seconds
        added = seconds - plain
        full = added if name == "one branch" else full
        share = f"{added / full:.0%}" if full else "-"
        print(f"| {name} | {seconds:.3f} | {added / plain:+.0%} | {share} |", flush=True)


def networks(config: dict[str, object], dtype: torch.dtype) -> tuple[UNet2DConditionModel, ControlNetModel]:
    """A U-Net and a ControlNet of its sizes, with small random weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
        net = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    return filled(unet, dtype), filled(net, dtype)


def filled(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network out of the meta device, its weights drawn."""
    net = net.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for weight in net.parameters():
        weight.normal_(std=0.02)
    return net.to(memory_format=torch.channels_last)


def run_seconds(unet: UNet2DConditionModel, branches: Sequence[ControlBranch], latent: int, steps: int) -> float:
    """A guided run of one picture."""
    layouts = (TokenLayout(("x</w>",) * SLOTS),)
    width = unet.config.cross_attention_dim
    words = [Conditioning(torch.randn(1, SLOTS, width), layouts) for _ in range(2)]
    scheduler = build_scheduler("ddim", configs.PNDM)
    set_timesteps(scheduler, steps)
    predict = GuidedPredictor(unet, Guidance.even(words[0], words[1], 7.5), branches)
    start = time.perf_counter()
    for _ in denoise(predict, scheduler, noise(0, (unet.config.in_channels, latent, latent))):
        pass
    return time.perf_counter() - start


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
