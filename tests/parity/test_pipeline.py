"""Pictures through the pipeline's call, with the argument names of diffusers' last working BlipDiffusionPipeline.

Recorded with diffusers 0.33.1 and transformers 4.53.3 on torch 2.13 (CPU, float32, one thread) on tiny random
checkpoints. Latents within 1e-4 of their largest value, pictures within 1e-4: the sums are the same, in another order.
"""

import json
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from pipelines import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline

PLAIN = ("reps20", "reps1", "strength", "no_cfg", "neg_default", "batch2", "one_ref_two_prompts")
CONTROLLED = ("reps20", "reps1", "no_cfg")


def recorded(shared: Path, name: str) -> tuple[dict, dict]:
    cases = json.loads((shared / "parity" / "meta.json").read_text())
    return cases["plain" if name == "base" else name], load_file(shared / "parity" / f"golden_{name}.safetensors")


def photo(tensor) -> Image.Image:
    return Image.fromarray(tensor.numpy())


def arguments(case: dict) -> dict:
    return {key: value for key, value in case.items() if key != "built_prompts"}


def close(found, wanted, tolerance: float) -> bool:
    return float((found - wanted).abs().max()) <= tolerance * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("layout", ["blipdiffusion-tiny", "blipdiffusion-tiny-bin"])
@pytest.mark.parametrize("name", PLAIN)
def test_the_call_gives_the_recorded_picture(shared, layout, name):
    cases, tensors = recorded(shared, "base")
    photos = [photo(tensors["input.reference_image_0"]), photo(tensors["input.reference_image_1"])]
    pipeline = BlipDiffusionPipeline.from_pretrained(
        shared / "parity" / layout, qformer_tokenizer_path=shared / "parity" / "bert-base-uncased", torch_dtype="stored"
    )
    pipeline.set_progress_bar_config(disable=True)
    references = photos if name == "batch2" else photos[0]
    start = tensors[f"{name}.in.latents"]
    steps = []

    def keep(_pipeline, index, _timestep, values):
        steps.append(values["latents"].clone())
        return values

    images = pipeline(
        reference_image=references, latents=start, output_type="pt", callback_on_step_end=keep, **arguments(cases[name])
    ).images
    wanted = tensors[f"{name}.latents_per_step"]
    assert len(steps) == len(wanted)
    for found, one in zip(steps, wanted, strict=True):
        assert close(found, one, 1e-4)
    assert close(images, tensors[f"{name}.image"], 1e-4)


@pytest.mark.parametrize("name", CONTROLLED)
def test_the_controlnet_call_gives_the_recorded_picture(shared, name):
    cases, tensors = recorded(shared, "controlnet")
    pipeline = BlipDiffusionControlNetPipeline.from_pretrained(
        shared / "parity" / "blipdiffusion-controlnet-tiny", torch_dtype="stored"
    )
    pipeline.set_progress_bar_config(disable=True)
    case = arguments(cases[name])
    images = pipeline(
        case.pop("prompt"),
        photo(tensors["input.reference_image_0"]),
        photo(tensors["input.conditioning_image"]),
        latents=tensors[f"{name}.in.latents"],
        output_type="pt",
        **case,
    ).images
    assert close(images, tensors[f"{name}.image"], 1e-4)
