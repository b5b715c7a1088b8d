"""The last working port of BLIP-Diffusion and ours, side by side in one run: load, step, whole picture, peak memory.

    python benchmarks/against_peer.py [--steps 20 12] [--speed NAME ...] [--peer-steps 50] [--work FOLDER] [--quick]

The port is diffusers 0.33.1's BlipDiffusionPipeline with transformers 4.53.3, in an environment of its own that the
script makes once in the work folder, with the torch that runs this script: both compute by the same kernels. Both read
one full-size checkpoint of random weights, which is written once. Each is one process throughout; they take turns, and
whoever waits computes nothing. Run it on a machine that does nothing else: about 11 minutes on two cores, of which the
port's picture takes 6; --quick draws pictures of few steps and says what whole ones would take.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from load_memory import write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
PINS = ("diffusers==0.33.1", "transformers==4.53.3", "huggingface_hub<1", "accelerate<2", "numpy", "pillow")
TORCH_NEEDS = ("sympy", "networkx", "jinja2", "filelock", "fsspec", "typing_extensions", "setuptools<82")


def main() -> None:
    """Prints the tables."""
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="blipdiff-against-peer-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        model = options.model.resolve() if options.model else checkpoint(work / "checkpoint")
        beside = (model.parent / "bert-base-uncased").is_dir()
        words = model.parent if beside else ROOT / "blipdiff" / "assets"
        port = Running("the port", [str(environment(work / "port")), "port", str(model), options.peer_dtype], words)
        ours = Running("ours", [sys.executable, "ours", str(model), options.dtype, options.engine], words)
        print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.side} px.\n")
        try:
            compared(port, ours, options)
        finally:
            for one in (port, ours):
                one.end()


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--repeats", type=int, default=4, help="steps of each, taking turns")
    parser.add_argument("--steps", type=int, nargs="*", default=[20, 12], help="pictures of ours, by their steps")
    parser.add_argument("--speed", nargs="*", default=[], help="pictures of ours, by the name of a speed")
    parser.add_argument("--dtype", default="auto", help="ours; auto: as commands choose it")
    parser.add_argument(
        "--engine",
        default="auto",
        help="ours: auto, torch or openvino, whose first call converts; openvino-int8 after `blipdiff quantize`",
    )
    parser.add_argument("--peer-steps", type=int, default=50, help="the port's picture; 50 is its default")
    parser.add_argument("--peer-dtype", default="float32", help="the port's; float32 is its default")
    parser.add_argument("--work", type=Path, help="folder where environment and checkpoint stay for the next run")
    parser.add_argument("--model", type=Path, help="a checkpoint that both read, instead of the full-size one")
    parser.add_argument("--quick", action="store_true", help="the port draws 4 steps, from which 50 are reckoned")
    return parser.parse_args()


@dataclass(eq=False)
class Running:
    """One contender in its process."""

    name: str
    command: list[str]
    words: Path  # the folder that it runs in, where the port finds bert-base-uncased, which else it asks the hub for
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        python, *rest = self.command
        own = {"PYTHONPATH": str(ROOT)} if self.name == "ours" else {"PYTHONPATH": ""}
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("contenders.py")), *rest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.words,
            env=os.environ | own | {"HF_HUB_OFFLINE": "1"},
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        """The answer to an order. Ends the script where the process has ended."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has ended at {order}; what it said stands above.")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """Closes the process's orders, upon which it ends."""
        self.process.stdin.close()
        self.process.wait(timeout=60)


def compared(port: Running, ours: Running, options: argparse.Namespace) -> None:
    """The measurements, in turns, and their table."""
    rows = [("load, imports included", *(one.ask(do="load")["seconds"] for one in (port, ours)), "")]
    steps: dict[str, list[float]] = {"the port": [], "ours": []}
    for number in range(options.repeats + 1):
        for one in (port, ours):
            seconds = one.ask(do="step", side=options.side)["seconds"]
            steps[one.name] += [seconds] if number else []  # the first one warms up
    medians = [statistics.median(steps[one.name]) for one in (port, ours)]
    rows.append((f"guided step, median of {options.repeats}", medians[0], medians[1], ""))
    count = 4 if options.quick else options.peer_steps
    drawn = port.ask(do="picture", side=options.side, steps=count)
    whole = drawn["seconds"] + (options.peer_steps - count) * medians[0]
    told = f"{drawn['note']}{f', reckoned for {options.peer_steps} steps' if options.quick else ''}"
    settings = [{"steps": number} for number in options.steps] + [{"speed": name} for name in options.speed]
    for setting in settings:
        mine = ours.ask(do="picture", side=options.side, **setting)
        name = ", ".join(f"{key} {value}" for key, value in setting.items())
        rows.append((f"picture, ours {name}", whole, mine["seconds"], f"{told}; {mine['note']}"))
    print("| what | the port, s | ours, s | times as fast | calls |\n| --- | --- | --- | --- | --- |")
    for what, theirs, mine, note in rows:
        print(f"| {what} | {theirs:.2f} | {mine:.2f} | {theirs / mine:.1f} | {note} |")
    peaks = [one.ask(do="memory")["gib"] for one in (port, ours)]
    print(f"| peak memory, GiB | {peaks[0]:.2f} | {peaks[1]:.2f} | {peaks[0] / peaks[1]:.1f} | |")


def checkpoint(folder: Path) -> Path:
    """A full-size checkpoint of random weights in float32, as the published one is; written where it is not yet."""
    if not (folder / "model_index.json").exists():
        write_checkpoint(folder, torch.float32, "safetensors")
    return folder


def environment(folder: Path) -> Path:
    """The Python of the port's environment, made where it is not yet: torch is linked, the rest installed."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (folder / "ready").exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    here = Path(torch.__file__).parents[1]
    for one in linked(here):
        (Path(site) / one.name).symlink_to(one)
    installed = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*installed, *PINS, *TORCH_NEEDS], check=True)
    (folder / "ready").touch()
    return python


def linked(here: Path) -> Sequence[Path]:
    """torch with what lies beside it: its distribution's notes, and on machines with a GPU the libraries of NVIDIA."""
    names = ("torch", "torchgen", "functorch", "nvidia", "triton")
    folders = [here / name for name in names if (here / name).is_dir()]
    return [
        *folders,
        *here.glob("torch-*.dist-info"),
        *here.glob("nvidia_*.dist-info"),
        *here.glob("triton-*.dist-info"),
    ]


def processor() -> str:
    """The processor by the name that the system gives it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
