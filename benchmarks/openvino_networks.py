"""OpenVINO against torch at full size with random weights: a table for docs/speed.md.

    python benchmarks/openvino_networks.py [--side 512] [--repeats 3] [--settings torch-bfloat16 openvino-bfloat16]
        [--together]

One guided step (two rows of Stable Diffusion's U-Net) and one decoding, each setting in a process of its own: times,
peak memory of the process, and how far the outputs are from torch's in float32. What OpenVINO
has to convert is converted by a process before, whose time and memory are told apart. The networks are those that
pictures are drawn by; weights are drawn in bfloat16, so that all settings have the same ones.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from load_memory import peak_bytes
from torch import Tensor, nn

from blipdiff.checkpoints import configs
from blipdiff.devices import memory_format
from blipdiff.sampling.openvino_engine.cache import kept
from blipdiff.sampling.openvino_engine.network import CompiledNetwork

ROWS, SLOTS, WIDTH = 2, 77, 768  # guidance runs two rows
SETTINGS = ("torch-float32", "torch-bfloat16", "openvino-float32", "openvino-bfloat16")


def main() -> None:
    """Prints the tables."""
    options = parsed()
    if options.child:
        found = measured(options.child, Path(options.folder), options.side, options.repeats, options.together)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, __file__, "--folder", folder, "--side", str(options.side)]
        for setting in options.settings:
            if setting.startswith("openvino"):
                found = child(run, setting, 0)
                print(
                    f"{setting}: converted and called once in {found['first_unet']:.1f} s (U-Net) and "
                    f"{found['first_vae']:.1f} s (VAE), {found['kept'] / 1e9:.2f} GB on the disk, peak memory "
                    f"{found['peak'] / 2**30:.1f} GiB",
                    flush=True,
                )
        print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, {options.side} px\n")
        print("| engine | dtype | first step s | s / step | decoding s | peak GiB | step's difference | picture's |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for setting in options.settings:
            found = child(run, setting, options.repeats)
            engine, dtype = setting.split("-")
            print(
                f"| {engine} | {dtype} | {found['first_unet']:.1f} | {found['unet']:.2f} | {found['vae']:.2f} "
                f"| {found['peak'] / 2**30:.1f} | {difference(folder, setting, 'unet')} "
                f"| {difference(folder, setting, 'vae')} |",
                flush=True,
            )
        for setting in options.settings if options.together else []:
            if setting.startswith("openvino"):
                found = child([*run, "--together"], setting, options.repeats)
                print(f"{setting}: {found['unet']:.2f} s / step row by row, {found['together']:.2f} s both in one call")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--together", action="store_true", help="time both rows in one call as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def child(run: list[str], setting: str, repeats: int) -> dict[str, float]:
    """What a process of its own measures."""
    done = subprocess.run([*run, "--child", setting, "--repeats", str(repeats)], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    found: dict[str, float] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def measured(setting: str, folder: Path, side: int, repeats: int, together: bool) -> dict[str, float]:
    """Seconds of the first call and of the median one, and the peak memory; outputs are left in the folder."""
    engine, dtype = setting.split("-")
    latent = side // 8
    found: dict[str, float] = {}
    said: list[str] = []
    for name, kind, config, given in (
        ("unet", UNet2DConditionModel, configs.SD15_UNET, step_inputs(latent)),
        ("vae", AutoencoderKL, configs.SD15_VAE, (torch.randn(1, 4, latent, latent),)),
    ):
        net = filled(kind, config, getattr(torch, dtype))
        call = by_torch(net, name, given)
        network = None
        if engine == "openvino":
            network = CompiledNetwork(name, folder / "converted", lambda: 1 << 62, said.append)  # type: ignore[arg-type]
            call = by_openvino(network, net, given)
        begun = time.perf_counter()
        torch.save(call(), folder / f"{setting}-{name}.pt")
        found[f"first_{name}"] = time.perf_counter() - begun
        found[name] = median_seconds(call, repeats)
        if network is not None and name == "unet" and together:
            found["together"] = median_seconds(both_rows(network, net, given), repeats)
    for text in said:
        print(text, file=sys.stderr)
    found["kept"] = sum(one.size for one in kept(folder / "converted") if one.dtype == dtype)
    return found | {"peak": peak_bytes()}


def step_inputs(latent: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, timestep and words of one guided step."""
    torch.manual_seed(1)
    return torch.randn(ROWS, 4, latent, latent), torch.tensor(500), torch.randn(ROWS, SLOTS, WIDTH)


def filled(kind: Any, config: dict[str, Any], dtype: torch.dtype) -> Any:
    """A network with small random weights that bfloat16 holds, in `dtype` and the memory format that it runs in."""
    with torch.device("meta"):
        net = kind.from_config(dict(config))
    nn.Module.to(net, dtype)
    net.to_empty(device="cpu").requires_grad_(False)
    torch.manual_seed(0)
    for parameter in net.parameters():
        parameter.copy_(torch.empty(parameter.shape, dtype=torch.bfloat16).normal_(std=0.02))
    return net.eval().to(memory_format=memory_format(torch.device("cpu")))


def by_torch(net: Any, name: str, given: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    """A call as torch makes it."""

    @torch.no_grad()
    def call() -> Tensor:
        first, *others = given
        if name == "vae":
            return net.decode(first.to(net.dtype), return_dict=False)[0].float()  # type: ignore[no-any-return]
        timestep, words = others
        return net(first.to(net.dtype), timestep, words.to(net.dtype), return_dict=False)[0].float()  # type: ignore[no-any-return]

    return call


def by_openvino(network: CompiledNetwork, net: Any, given: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    """A call as what stands in for a network makes it. Raises: RuntimeError where it leaves that to torch."""

    def call() -> Tensor:
        found = network(net, *given)
        if found is None:
            raise RuntimeError(network.trouble)
        return found[0]

    return call


def both_rows(network: CompiledNetwork, net: Any, given: tuple[Tensor, ...]) -> Callable[[], object]:
    """The same step with its rows in one call, which is not how pictures are drawn; called once to warm up."""
    latents, timestep, words = (one.float().numpy() for one in given)
    zeros = [one.repeat(ROWS, 0) for one in network._nothing(net, [latents, timestep, words])]
    inputs = [latents, timestep, words, *zeros]
    compiled = network._compile(network._read, net, tuple(one.shape for one in inputs))  # type: ignore[arg-type]
    compiled(inputs)
    return lambda: compiled(inputs)


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` calls; 0 for none."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) if times else 0.0


def difference(folder: str, setting: str, name: str) -> str:
    """The root mean square of what an output differs from torch's in float32, as a share of that."""
    reference = Path(folder) / f"torch-float32-{name}.pt"
    if not reference.is_file():
        return "not measured"
    own, exact = torch.load(Path(folder) / f"{setting}-{name}.pt"), torch.load(reference)
    return f"{float((own - exact).square().mean().sqrt() / exact.square().mean().sqrt()):.1e}"


if __name__ == "__main__":
    main()
