"""How the cost of a picture grows: with its size, its U-Net calls, its subjects, its controls; with the slopes.

    python benchmarks/trend.py [--sides 256 384 512 640 768 1024] [--calls 2 4 8] [--subjects 3] [--controls 2]
                               [--steps 4] [--repeats 2] [--side 512] [--model FOLDER --net FOLDER]

Random weights of Stable Diffusion 1.5's sizes, through the classes that users call. Steps are guided, two rows of the
U-Net. About 9 minutes on two cores that do nothing else; to try the script: `--model mini --net mini-canny --side 128
--sides 64 128`.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from full_size import filled, median_seconds
from load_memory import write_checkpoint
from PIL import Image

from blipdiff.checkpoints import configs
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.latents import decode_latents
from pipelines.controls.settings import ControlSettings
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest

WORDS = ("dog", "cat", "cup", "toy")
COLOURS = ("orange", "grey", "white", "red")


def main() -> None:
    """Prints a table for each trend."""
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="blipdiff-trend-") as temporary:
        model, net = options.model, options.net
        if model is None:
            model, net = Path(temporary) / "model", Path(temporary) / "net"
            write_checkpoint(model, torch.float16, "safetensors")
            write_net(net)
        studio = Studio.open(model)
        place = f"{str(studio.model.unet.dtype).removeprefix('torch.')} on {studio.model.device}"
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {place}.")
        by_size(studio, options.sides, options.repeats)
        by_calls(studio, options)
        by_subjects(studio, options)
        by_controls(studio, str(net), options)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[256, 384, 512, 640, 768, 1024], help="pixels")
    parser.add_argument("--calls", type=int, nargs="*", default=[2, 4, 8], help="of pictures")
    parser.add_argument("--subjects", type=int, default=3, choices=range(1, len(WORDS) + 1), help="at most, in a scene")
    parser.add_argument("--controls", type=int, default=2, help="at most, of a stylized picture")
    parser.add_argument("--steps", type=int, default=4, help="of scenes and stylized pictures")
    parser.add_argument("--repeats", type=int, default=2, help="of steps at each size")
    parser.add_argument("--side", type=int, default=512, help="of all pictures but those of the first table")
    parser.add_argument("--model", help="a model's folder, or mini, instead of random weights; with --net")
    parser.add_argument("--net", help="its ControlNet's folder, or mini-canny")
    options = parser.parse_args()
    if (options.model is None) != (options.net is None):
        parser.error("give --model and --net together")
    return options


def write_net(folder: Path) -> None:
    """A ControlNet of random weights at full size, in float16."""
    with torch.device("meta"):
        net = ControlNetModel.from_unet(
            UNet2DConditionModel.from_config(dict(configs.SD15_UNET)), load_weights_from_unet=False
        )
    filled(net, torch.float16).save_pretrained(folder)


def by_size(studio: Studio, sides: Sequence[int], repeats: int) -> None:
    """Seconds of a guided step and of decoding at each size, and the power of the side that both grow with."""
    unet, vae = studio.model.unet, studio.model.vae
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    width = int(unet.config.cross_attention_dim)
    print("\n| side, px | guided step, s | decoding, s |\n| --- | --- | --- |")
    found = []
    for side in sides:
        latents = torch.randn(2, unet.config.in_channels, side // factor, side // factor).to(unet.dtype)
        words = torch.randn(2, 77, width).to(unet.dtype)
        with torch.no_grad():
            step = median_seconds(lambda: unet(latents, torch.tensor(500), words), repeats=repeats)  # noqa: B023
            decoding = median_seconds(lambda: decode_latents(vae, latents[:1].float()), repeats=1)  # noqa: B023
        found.append((side, step, decoding))
        print(f"| {side} | {step:.3f} | {decoding:.3f} |", flush=True)
    if len(found) > 1:
        powers = [slope([(math.log(one[0]), math.log(one[place])) for one in found])[0] for place in (1, 2)]
        print(f"\nA step grows with the side to the power {powers[0]:.2f}, decoding to the power {powers[1]:.2f}.")


def by_calls(studio: Studio, options: argparse.Namespace) -> None:
    """Seconds of whole pictures by their U-Net calls."""

    def job(calls: int) -> Job:
        return Job.of(GenerateRequest(**shared(options) | {"steps": calls}, category=WORDS[0]), subject=photo(0))

    told("calls", "call", studio, options.calls, job)


def by_subjects(studio: Studio, options: argparse.Namespace) -> None:
    """Seconds of whole scenes by their subjects."""

    def job(count: int) -> Job:
        prompt = " and ".join(f"a {{{word}}}" for word in WORDS[:count])
        return Job.of(SceneRequest(prompt=prompt, **shared(options)), subject=[photo(place) for place in range(count)])

    told(f"subjects, {options.steps} steps", "subject", studio, range(1, options.subjects + 1), job)


def by_controls(studio: Studio, net: str, options: argparse.Namespace) -> None:
    """Seconds of whole stylized pictures by their controls; of none, a generated one."""

    def job(count: int) -> Job:
        if not count:
            return Job.of(GenerateRequest(**shared(options), category=WORDS[0]), subject=photo(0))
        controls = (ControlSettings(control=net, preprocessor="canny"),) * count
        request = StylizeRequest(category=WORDS[0], controls=controls, **shared(options))
        return Job.of(request, subject=photo(0), structure=Image.linear_gradient("L").convert("RGB"))

    told(f"controls, {options.steps} steps", "control", studio, range(options.controls + 1), job)


def shared(options: argparse.Namespace) -> dict[str, Any]:
    """What all requests ask for."""
    return {"count": 1, "seed": 1, "steps": options.steps, "width": options.side, "height": options.side}


def photo(place: int) -> SubjectPhoto:
    """A photo of one colour."""
    return SubjectPhoto(Image.new("RGB", (640, 480), COLOURS[place]), WORDS[place])


def told(what: str, one: str, studio: Studio, counts: Sequence[int], job: Callable[[int], Job]) -> None:
    """A table of whole pictures, after the first one once without a clock, and its slope."""
    print(f"\n| {what} | picture, s |\n| --- | --- |")
    found = []
    for number, count in enumerate(counts):
        if number == 0:
            seconds_of(studio, job(count))
        found.append((float(count), seconds_of(studio, job(count))))
        print(f"| {count} | {found[-1][1]:.2f} |", flush=True)
    if len(found) > 1:
        rise, start = slope(found)
        print(f"\n{rise:.2f} s for each {one}, and {start:.2f} s beside.")


def seconds_of(studio: Studio, job: Job) -> float:
    """The time of a whole job; random weights may decode to what is no picture, which is none the faster."""
    start = time.perf_counter()
    for _event in run(studio, job):
        pass
    return time.perf_counter() - start


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The straight line nearest to the points: its rise, and where it starts."""
    fitted = statistics.linear_regression([one for one, _ in points], [other for _, other in points])
    return fitted.slope, fitted.intercept


if __name__ == "__main__":
    main()
