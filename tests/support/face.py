"""The pipeline at tiny sizes, as people of diffusers call it."""

from typing import Any

import torch
from torch import Tensor

from pipelines import BlipDiffusionPipeline
from tests.support.tiny_models import photo

STEPS = 3


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def draw(pipe: BlipDiffusionPipeline, **changes: Any) -> Any:
    """Pictures (rows, 3, H, W) of a dog on a beach, unless something else is asked for."""
    asked: dict[str, Any] = {
        "prompt": "on a beach",
        "reference_image": photo(),
        "source_subject_category": "dog",
        "num_inference_steps": STEPS,
        "output_type": "pt",
    }
    if "latents" not in changes:
        asked["generator"] = seeded()
    return pipe(**asked | changes).images


def close(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) <= tolerance


def differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) > 1e-3
