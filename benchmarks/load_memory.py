"""Peak memory of loading a full-size checkpoint of random weights, against its size in the dtype asked for.

    python benchmarks/load_memory.py [--keep FOLDER] [--stored float32 float16] [--format safetensors bin]

Each load runs in a process of its own. What Python and the libraries take before the load is measured apart and
subtracted; mapped file pages count as memory, as the system counts them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn

from blipdiff.checkpoints import configs, load_model
from blipdiff.checkpoints.configs import write_json
from blipdiff.images import PhotoSettings
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.sizes import SubjectEncoderSizes, TextSizes
from blipdiff.models.subject_encoder import SubjectEncoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_checkpoint(folder: Path, dtype: torch.dtype, file_format: str) -> None:
    """A full-size checkpoint of random weights in the hub's layout."""
    sizes, text = SubjectEncoderSizes(), TextSizes()
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(dict(configs.SD15_VAE))
        unet = UNet2DConditionModel.from_config(dict(configs.SD15_UNET))
        encoder, words = SubjectEncoder(sizes), ContextTextEncoder(text)
    write_json(folder / "model_index.json", configs.model_index(2, configs.PNDM, vae, with_controlnet=False))
    write_json(folder / "scheduler" / "scheduler_config.json", configs.PNDM)
    write_json(folder / "image_processor" / "preprocessor_config.json", configs.photo_config(PhotoSettings()))
    write_json(folder / "qformer" / "config.json", configs.subject_encoder_config(sizes))
    write_json(folder / "text_encoder" / "config.json", configs.text_encoder_config(text))
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    write_vocabularies(folder)
    for part, net in (("qformer", encoder), ("text_encoder", words), ("unet", unet), ("vae", vae)):
        write_weights(net, folder / part, dtype, file_format)


def write_weights(net: nn.Module, folder: Path, dtype: torch.dtype, file_format: str) -> None:
    tensors = {name: torch.empty(value.shape).normal_(std=0.02).to(dtype) for name, value in net.state_dict().items()}
    ours = folder.name in ("qformer", "text_encoder")
    if file_format == "safetensors":
        name = "model.safetensors" if ours else "diffusion_pytorch_model.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
    else:
        torch.save(tensors, folder / ("pytorch_model.bin" if ours else "diffusion_pytorch_model.bin"))


def write_vocabularies(folder: Path) -> None:
    """Just enough for the tokenizers to load."""
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "tokenizer" / "vocab.json", {piece: number for number, piece in enumerate(pieces)})
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "qformer_tokenizer").mkdir()
    (folder / "qformer_tokenizer" / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, ""])
    )


def peak_bytes() -> int:
    """Most memory that this process has had since the mark was last reset."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def measure(folder: Path, dtype: str | None) -> dict[str, float]:
    """Loads in this process: size of the model, peak above what was there before, seconds."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the mark to what is in use now
    before, start = peak_bytes(), time.perf_counter()
    model = load_model(folder, dtype="stored" if dtype is None else getattr(torch, dtype))
    seconds = time.perf_counter() - start
    nets = (model.subject_encoder, model.text_encoder, model.unet, model.vae)
    size = sum(value.nbytes for net in nets for value in net.state_dict().values())
    return {"size": size, "before": before, "peak": peak_bytes() - before, "seconds": seconds}


def main() -> None:
    """Writes the checkpoints, measures each load in a fresh process, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder to write the checkpoints to, and to leave them in")
    parser.add_argument("--stored", nargs="+", default=["float32"], help="dtypes of the files")
    parser.add_argument("--format", nargs="+", default=["safetensors"], choices=["safetensors", "bin"])
    parser.add_argument("--loaded", nargs="+", default=["float32", "bfloat16"], help="dtypes to load in")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), arguments.measure[1])))
        return
    with tempfile.TemporaryDirectory(prefix="blipdiff-benchmark-") as temporary:
        place = arguments.keep or Path(temporary)
        print("| stored | loaded | model GB | peak GB | peak / model | with the libraries | seconds |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for stored in arguments.stored:
            for file_format in arguments.format:
                folder = place / f"{stored}-{file_format}"
                if not folder.exists():
                    write_checkpoint(folder, getattr(torch, stored), file_format)
                for loaded in arguments.loaded:
                    report(folder, f"{stored} .{file_format}", loaded)


def report(folder: Path, stored: str, loaded: str) -> None:
    """One row of the table."""
    command = [sys.executable, __file__, "--measure", str(folder), loaded]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    size, peak, before = (found[name] / 1e9 for name in ("size", "peak", "before"))
    print(
        f"| {stored} | {loaded} | {size:.2f} | {peak:.2f} | {peak / size:.3f} "
        f"| {(peak + before) / size:.3f} | {found['seconds']:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
