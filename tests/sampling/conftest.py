"""A tiny U-Net's text conditioning, and its scheduler's config."""

import json

import pytest
import torch

from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.moment import Window


@pytest.fixture(scope="session")
def scheduler_config(tiny):
    """Stable Diffusion's noise schedule; its pipelines in diffusers change every other steps_offset to 1."""
    return {**json.loads((tiny / "scheduler" / "scheduler_config.json").read_text()), "steps_offset": 1}


def conditioning(rows: int, seed: int, width: int = 32) -> Conditioning:
    generators = [torch.Generator().manual_seed(seed + row) for row in range(rows)]
    embeddings = torch.stack([torch.randn(77, width, generator=generator) for generator in generators])
    return Conditioning(embeddings, (TokenLayout(("x</w>",) * 77),) * rows)


@pytest.fixture
def guided():
    """guided(rows, scale, window): guidance between random conditionings; row k is the same whatever the number."""

    def make(rows: int, scale: float | list[float] = 7.5, window: Window | None = None) -> Guidance:
        scales = torch.tensor(scale if isinstance(scale, list) else [scale] * rows)
        return Guidance(conditioning(rows, 100), conditioning(rows, 900), scales, window or Window())

    return make
