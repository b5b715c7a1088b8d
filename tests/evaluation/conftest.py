"""A small library of invented subjects, of which enough concepts are unseen, and what metrics make of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from blipdiff.data import PairLibrary
from blipdiff.data.drawn import Drawing, build_scenes, build_subjects
from blipdiff.errors import MissingDependencyError
from blipdiff.evaluation import Metric, metric_named

SIDE = 128


def invented(seed: int) -> np.ndarray:
    """A shape of three colours with alpha, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((128, 128, 4), np.uint8)
    colours = [(*(int(c) for c in rng.integers(20, 235, 3)), 255) for _ in range(3)]
    kind = seed % 4
    if kind == 0:
        cv2.ellipse(picture, (64, 64), (52, int(rng.integers(22, 52))), int(rng.integers(180)), 0, 360, colours[0], -1)
    elif kind == 1:
        cv2.rectangle(picture, (14, int(rng.integers(10, 50))), (114, 112), colours[0], -1)
    else:
        turns = np.sort(rng.uniform(0, 2 * np.pi, 5 + kind))
        reach = rng.uniform(25, 56, len(turns))
        corners = 64 + np.stack([np.cos(turns) * reach, np.sin(turns) * reach], 1)
        cv2.fillPoly(picture, [corners.astype(np.int32)], colours[0])
    inner = np.zeros((128, 128), np.uint8)
    cv2.circle(inner, (int(rng.integers(40, 88)), int(rng.integers(40, 88))), int(rng.integers(12, 26)), 255, -1)
    picture[(inner > 0) & (picture[..., 3] > 0)] = colours[1]
    band = np.zeros((128, 128), np.uint8)
    cv2.line(band, (0, int(rng.integers(30, 100))), (127, int(rng.integers(30, 100))), 255, int(rng.integers(6, 16)))
    picture[(band > 0) & (picture[..., 3] > 0)] = colours[2]
    return picture


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("library")
    drawings = [
        Drawing(f"thing {i}", f"thing{i % 60}", ("fluent", "noto")[i % 2], lambda i=i: invented(i)) for i in range(120)
    ]
    build_subjects(folder, folder, SIDE, drawings=drawings)
    build_scenes(folder, 3, side=SIDE)
    return folder


@pytest.fixture(scope="session")
def library(library_folder: Path) -> PairLibrary:
    return PairLibrary(library_folder)


@pytest.fixture(scope="session", params=["colour and shape", "perceptual"])
def metric(request: pytest.FixtureRequest) -> Metric:
    try:
        return metric_named(request.param)
    except MissingDependencyError as reason:
        pytest.skip(str(reason))
