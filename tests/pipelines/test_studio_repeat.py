"""A picture from its metadata: drawn again bit for bit, and what is refused."""

import base64
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from blipdiff.checkpoints.configs import PNDM
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.results import Picture, read_metadata, save_picture
from pipelines.studio import Notice, Studio
from tests.support.studios import asked, counted, picture_of, pixels
from tests.support.tiny_models import PIXELS, tiny_model


@pytest.fixture
def model() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture
def studio(model: BlipDiffusion) -> Studio:
    return Studio(model)


def repeated(studio: Studio, metadata: dict[str, Any]) -> Picture:
    (picture,) = [event for event in studio.repeat(metadata) if isinstance(event, Picture)]
    return picture


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_picture_is_drawn_again_bit_for_bit_from_its_file(
    scheduler: str, place: int, studio: Studio, model: BlipDiffusion, tmp_path: Path
) -> None:
    made = picture_of(studio, place, count=5, batch=3, seed=7, scheduler=scheduler, target="tiger", negative="snow")
    found = read_metadata(save_picture(made, tmp_path / "a.png"))
    assert found == json.loads(json.dumps(made.metadata()))
    again = repeated(Studio(model), found)
    assert np.array_equal(pixels(made), pixels(again))
    assert again.metadata() == made.metadata()


def test_metadata_tells_the_request_the_model_and_the_place(studio: Studio, model: BlipDiffusion) -> None:
    found = picture_of(studio, 1, count=2, seed=3).metadata()
    asked_for = asdict(asked(count=2, seed=3)) | {"guidance": model.guidance}
    assert {name: found["request"][name] for name in asked_for} == asked_for
    assert (found["seed"], found["index"], found["size"]) == (4, 1, [PIXELS, PIXELS])
    assert found["model"] == {"name": "tiny", **model.identity.told()}
    assert found["model"]["fingerprint"] == model.subject_fingerprint
    assert found["place"] == {"device": "cpu", "dtype": "float32"}


def test_a_model_with_another_unet_or_scheduler_does_not_repeat_and_says_what_differs(studio: Studio) -> None:
    found = picture_of(studio).metadata()
    other = tiny_model()
    with torch.no_grad():
        other.unet.conv_in.weight.mul_(1.001)
    with pytest.raises(ConfigError, match=r"was made by the model tiny .* another in: U-Net\. Load that model"):
        repeated(Studio(other), found)
    other = replace(tiny_model(), scheduler_config={**PNDM, "steps_offset": 1})
    with pytest.raises(ConfigError, match="another in: scheduler settings"):
        repeated(Studio(other), found)
    assert np.array_equal(pixels(repeated(Studio(tiny_model()), found)), pixels(picture_of(studio)))


def test_a_picture_that_does_not_say_what_drew_it_is_repeated_with_a_notice(studio: Studio) -> None:
    found = picture_of(studio).metadata()
    found["model"] = {name: found["model"][name] for name in ("name", "fingerprint")}
    notices = [event.text for event in studio.repeat(found) if isinstance(event, Notice)]
    assert notices == ["The picture does not say which U-Net and VAE drew it; it may differ."]


def test_repeating_draws_only_the_batch_of_the_picture(studio: Studio, model: BlipDiffusion) -> None:
    made = picture_of(studio, 4, count=8, batch=2).metadata()
    with counted(model.unet) as calls:
        repeated(studio, made)
    assert calls == [4] * 3, "two pictures, each with its unconditional half, in three steps"


REQUESTS: list[dict[str, Any]] = [
    {"count": 10**12},
    {"count": None},
    {"steps": None},
    {"steps": 10**9},
    {"steps": "20"},
    {"steps": True},
    {"guidance": None},
    {"guidance": 10**400},
    {"guidance": [7.5]},
    {"guidance_start": None},
    {"batch": None},
    {"repeats": None},
    {"seed": None},
    {"seed": -5},
    {"seed": 10**400},
    {"width": 10**6, "height": 10**6},
    {"width": 17},
    {"width": "../../etc"},
    {"category": ""},
    {"category": None},
    {"category": ["dog"]},
    {"category": "\x07"},
    {"category": "x" * 10**6},
    {"prompt": None},
    {"prompt": {"a": 1}},
    {"negative": 5},
    {"target": ""},
    {"scheduler": "__import__('os')"},
    {"scheduler": None},
    {"scheduler": ["ddim"]},
    {"fit": None},
    {"fit": {}},
    {"model": "elsewhere"},
    {"subject": None},
    {"subject": ""},
    {"subject": "not base64!"},
    {"subject": "aGVsbG8="},
    {"subject": 5},
    {"subject": ["x"]},
    *(
        {"subject": base64.b64encode(save({name: tokens})).decode()}
        for name, tokens in (
            ("tokens", torch.zeros(1, 16)),
            ("tokens", torch.zeros(5, 16)),
            ("tokens", torch.zeros(4, 15)),
            ("tokens", torch.zeros(64)),
            ("tokens", torch.zeros(0, 16)),
            ("tokens", torch.full((4, 16), float("nan"))),
            ("other", torch.zeros(4, 16)),
        )
    ),
]


@pytest.mark.parametrize("change", REQUESTS, ids=lambda change: str(change)[:60])
@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_an_altered_request_is_refused(change: dict[str, Any], guidance: float, studio: Studio) -> None:
    made = picture_of(studio, guidance=guidance, steps=1).metadata()
    altered = made | {"request": made["request"] | change}
    with pytest.raises(BlipdiffError):
        list(studio.repeat(altered))


@pytest.mark.parametrize(
    "change",
    [{"seed": 99}, {"seed": 10**400}, {"seed": -1}, {"request": {}}, {"model": {}}, {"model": {"fingerprint": [1]}}],
    ids=str,
)
def test_an_altered_record_is_refused(change: dict[str, Any], studio: Studio) -> None:
    with pytest.raises(ConfigError):
        list(studio.repeat(picture_of(studio, steps=1).metadata() | change))
