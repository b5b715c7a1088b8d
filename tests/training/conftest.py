"""A tiny recipe, and a library of drawn blobs in drawn scenes."""

import copy
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from blipdiff.data import PairLibrary
from blipdiff.data.drawn import Drawing, build_scenes, build_subjects
from blipdiff.training.config import Recipe, recipe_from

SIDE = 32
_SIZES = {
    "width": 32,
    "heads": 2,
    "vision_depth": 1,
    "qformer_depth": 1,
    "text_depth": 1,
    "patch": 8,
    "picture": SIDE,
    "positions": 32,
    "vocabulary": 700,
    "unet_widths": [32, 32],
    "unet_heads": [2, 2],
    "latent_channels": 8,
    "vae_width": 48,
    "vae_decoder_blocks": [0, 0, 0, 0],
}
_SHORT = {"steps": 4, "batch": 8, "warmup_steps": 2}


def tiny_table() -> dict[str, Any]:
    """The bundled recipe with its sizes and its length made tiny, as the TOML file has it."""
    found = tomllib.loads((files("blipdiff.training") / "recipes" / "mini.toml").read_text())
    found["model"] |= copy.deepcopy(_SIZES)
    for stage in ("reconstruction", "subject", "autoencoder"):
        found[stage] |= _SHORT
    return found


@pytest.fixture
def table() -> dict[str, Any]:
    """A table that a test may change."""
    return tiny_table()


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return recipe_from(tiny_table(), "tiny")


def _blob(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.zeros((90, 80, 4), np.uint8)
    colours = [(*(int(c) for c in rng.integers(40, 220, 3)), 255) for _ in range(2)]
    cv2.ellipse(picture, (40, 45), (36, int(rng.integers(20, 42))), int(rng.integers(180)), 0, 360, colours[0], -1)
    cv2.circle(picture, (int(rng.integers(25, 55)), int(rng.integers(30, 60))), 14, colours[1], -1)
    return picture


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    drawings = [
        Drawing(f"thing {i}", f"thing{i % 20}", ("fluent", "twemoji", "noto")[i % 3], lambda i=i: _blob(i))
        for i in range(60)
    ]
    build_subjects(folder, folder, SIDE, drawings=drawings)
    build_scenes(folder, 1, side=SIDE)
    return folder


@pytest.fixture(scope="session")
def library(library_folder: Path) -> PairLibrary:
    return PairLibrary(library_folder)
