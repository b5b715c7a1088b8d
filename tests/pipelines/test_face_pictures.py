"""The pipeline's pictures in every shape that people of diffusers have them in."""

from typing import Any

import numpy as np
import pytest
import torch

from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import ImageError, PromptError, ShapeError
from pipelines import BlipDiffusionPipeline
from tests.support.face import differ, draw
from tests.support.tiny_models import photo, tiny_controlnet

pytest_plugins = ["tests.support.face_fixtures"]


def shapes_of(seed: int) -> dict[str, Any]:
    pixels = np.asarray(photo(seed))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return {
        "bytes": pixels,
        "array": pixels.astype(np.float32) / 255,
        "tensor": tensor / 255,
        "tensor of bytes": tensor,
        "batch": (tensor / 255)[None],
        "array of one": pixels[None],
        "list": [tensor / 255],
    }


@pytest.mark.parametrize("shape", shapes_of(3))
def test_a_map_draws_the_same_in_every_shape(controlled: BlipDiffusionPipeline, shape: str) -> None:
    wanted = draw(controlled, control_image=photo(3))
    assert torch.equal(draw(controlled, control_image=shapes_of(3)[shape]), wanted)


@pytest.mark.parametrize("shape", shapes_of(2))
def test_a_reference_draws_the_same_in_every_shape(pipe: BlipDiffusionPipeline, shape: str) -> None:
    wanted = draw(pipe, reference_image=photo(2))
    assert torch.equal(draw(pipe, reference_image=shapes_of(2)[shape]), wanted)
    assert differ(draw(pipe, reference_image=photo(5)), wanted)


def test_a_batch_of_maps_is_one_for_each_prompt(controlled: BlipDiffusionPipeline) -> None:
    maps = [photo(3), photo(4)]
    batch = torch.stack([shapes_of(seed)["tensor"] for seed in (3, 4)])
    asked = {"prompt": ["a", "b"], "generator": [torch.Generator().manual_seed(seed) for seed in (0, 1)]}
    one = draw(controlled, **asked, control_image=maps)
    asked["generator"] = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    assert torch.equal(draw(controlled, **asked, control_image=batch), one)


def test_what_is_no_picture_is_told(controlled: BlipDiffusionPipeline) -> None:
    with pytest.raises(ImageError, match="open_picture"):
        draw(controlled, control_image="edges.png")
    with pytest.raises(ImageError, match=r"\(H, W, 3\)"):
        draw(controlled, control_image=np.zeros((3, 16, 16), np.uint8))
    with pytest.raises(ImageError, match="must lie from 0 to 1"):
        draw(controlled, control_image=torch.linspace(-1, 1, 768).view(3, 16, 16))
    with pytest.raises(ImageError, match="A dict was given"):
        draw(controlled, reference_image={"path": "dog.png"})
    with pytest.raises((ImageError, PromptError)):
        draw(controlled, reference_image=[])
    with pytest.raises(ShapeError, match=r"picture_tensor"):
        ControlBranch(tiny_controlnet(), photo(3))  # type: ignore[arg-type]
