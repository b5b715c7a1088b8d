"""Scripts written for diffusers' last working BLIP-Diffusion pipelines (0.33) run unchanged: argument by argument."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
from tests.support.face import quiet, seeded
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

PORT = (  # its signature, with a value that a script may give in place of BASE's
    ("prompt", ["in the snow"]),
    ("reference_image", photo(7)),
    ("source_subject_category", ["teapot"]),
    ("target_subject_category", ["tiger"]),
    ("latents", torch.full((1, 4, 8, 8), 0.3)),
    ("guidance_scale", 2.0),
    ("height", 24),
    ("width", 24),
    ("num_inference_steps", 4),
    ("generator", 5),
    ("neg_prompt", "under water"),
    ("prompt_strength", 0.1),
    ("prompt_reps", 1),
    ("output_type", "np"),
    ("return_dict", False),
)
NAMES = [name for name, _ in PORT]
BASE: dict[str, Any] = {
    "prompt": ["on a beach"],
    "reference_image": photo(),
    "source_subject_category": ["dog"],
    "target_subject_category": ["dog"],
    "latents": None,
    "guidance_scale": 7.5,
    "height": 16,
    "width": 16,
    "num_inference_steps": 3,
    "generator": 0,
    "neg_prompt": "",
    "prompt_strength": 1.0,
    "prompt_reps": 20,
    "output_type": "pil",
    "return_dict": True,
}


@pytest.fixture(scope="module", params=[BlipDiffusionPipeline, BlipDiffusionControlNetPipeline])
def port(request: pytest.FixtureRequest) -> Any:
    """Called with the port's arguments; the one with a ControlNet has its map as the third."""
    with_net = request.param is BlipDiffusionControlNetPipeline
    pipe = quiet(request.param.from_model(tiny_model(), controlnet=tiny_controlnet() if with_net else None))

    def called(*, by_position: bool, **changes: Any) -> Any:
        asked = BASE | changes
        asked["generator"] = seeded(asked["generator"])
        if not by_position:
            return pipe(**asked, **({"condtioning_image": photo(3)} if with_net else {}))
        values = [asked[name] for name in NAMES]
        return pipe(*values[:2], *([photo(3)] if with_net else []), *values[2:])

    return called


def pixels(found: Any) -> np.ndarray:
    images = found[0] if isinstance(found, tuple) else found.images
    return np.asarray(images[0] if isinstance(images, list) else images[0] * 255, dtype=np.float64)


def test_the_signature_begins_as_the_ports() -> None:
    own = inspect.signature(BlipDiffusionPipeline.__call__).parameters
    assert list(own)[1 : len(NAMES) + 1] == NAMES
    assert all(own[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for name in NAMES)
    defaults = {"latents": None, "num_inference_steps": 50, "generator": None, "prompt_strength": 1.0}
    defaults |= {"prompt_reps": 20, "output_type": "pil", "return_dict": True}
    assert {name: own[name].default for name in defaults} == defaults


@pytest.mark.parametrize(("name", "value"), PORT, ids=NAMES)
def test_an_argument_does_what_it_did_by_name_and_by_place(port: Any, name: str, value: Any) -> None:
    base = port(by_position=False)
    assert isinstance(base.images[0], Image.Image)
    found, placed = (port(by_position=way, **{name: value}) for way in (False, True))
    assert np.array_equal(pixels(found), pixels(placed))
    if name in ("height", "width"):
        assert found.images[0].size == ((16, 24) if name == "height" else (24, 16))
    elif name == "output_type":
        assert found.images.shape == (1, 16, 16, 3)
        assert np.abs(pixels(found) - pixels(base)).max() <= 0.5 + 1e-3
    elif name == "return_dict":
        assert isinstance(found, tuple) and isinstance(found[0][0], Image.Image)
        assert np.array_equal(pixels(found), pixels(base))
    else:
        assert np.abs(pixels(found) - pixels(base)).max() > 1
