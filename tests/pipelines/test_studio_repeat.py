"""A picture from its metadata: drawn again bit for bit, and what is refused."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from blipdiff.checkpoints.configs import PNDM
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.job import run
from pipelines.metadata import job_of, read_metadata, repeat
from pipelines.parameters import plain
from pipelines.pictures import Picture, save_picture
from pipelines.studio import Studio
from pipelines.task import Notice
from tests.support.studios import asked, counted, picture_of, pictures, pixels
from tests.support.tiny_models import PIXELS, tiny_model


@pytest.fixture
def model() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture
def studio(model: BlipDiffusion) -> Studio:
    return Studio(model)


@pytest.fixture(scope="module")
def shared() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def made(shared: Studio) -> dict[float, dict[str, Any]]:
    """The metadata of a picture at each guidance."""
    return {guidance: picture_of(shared, guidance=guidance, steps=1).metadata() for guidance in (7.5, 1.0)}


def repeated(studio: Studio, metadata: dict[str, Any]) -> Picture:
    (picture,) = pictures(run(studio, job_of(metadata)))
    return picture


def version_1(metadata: dict[str, Any]) -> dict[str, Any]:
    """What earlier versions would have told of the same picture."""
    job = metadata["job"]
    (subject,) = job["inputs"]["subject"]
    found = {name: value for name, value in metadata.items() if name != "job"}
    return found | {"version": 1, "index": job["index"], "request": job["request"] | {"subject": subject["rows"]}}


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_picture_is_drawn_again_bit_for_bit_from_its_file(
    scheduler: str, place: int, studio: Studio, model: BlipDiffusion, tmp_path: Path
) -> None:
    made = picture_of(studio, place, count=5, batch=3, seed=7, scheduler=scheduler, target="tiger", negative="snow")
    path = save_picture(made, tmp_path / "a.png")
    found = read_metadata(path)
    assert found == json.loads(json.dumps(made.metadata()))
    (again,) = pictures(run(Studio(model), repeat(path)))
    assert np.array_equal(pixels(made), pixels(again))
    assert again.metadata() == made.metadata()
    from_earlier = repeated(Studio(model), version_1(found))
    assert np.array_equal(pixels(made), pixels(from_earlier))
    assert from_earlier.metadata() == made.metadata()


def test_metadata_tells_the_request_the_model_and_the_place(studio: Studio, model: BlipDiffusion) -> None:
    found = picture_of(studio, 1, count=2, seed=3).metadata()
    asked_for = plain(asked(count=2, seed=3)) | {"guidance": model.guidance, "scheduler": "unipc", "detail": 0.0}
    assert found["job"]["request"] == asked_for
    assert (found["seed"], found["job"]["index"], found["size"]) == (4, 1, [PIXELS, PIXELS])
    assert found["job"]["task"] == "generate"
    assert found["model"] == {"name": "tiny", **model.identity.told()}
    assert found["model"]["fingerprint"] == model.subject_fingerprint
    assert found["place"] == {"device": "cpu", "dtype": "float32", "engine": "torch"}


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
    notices = [event.text for event in run(studio, job_of(found)) if isinstance(event, Notice)]
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


def altered(metadata: dict[str, Any], change: dict[str, Any], version: int) -> dict[str, Any]:
    """Metadata with another request; a subject's rows stand there in version 1, and among the inputs in version 2."""
    if version == 1:
        found = version_1(metadata)
        return found | {"request": found["request"] | change}
    job = metadata["job"]
    if "subject" in change:
        subject = job["inputs"]["subject"][0] | {"rows": change["subject"]}
        return metadata | {"job": job | {"inputs": {"subject": [subject]}}}
    return metadata | {"job": job | {"request": job["request"] | change}}


@pytest.mark.parametrize("change", REQUESTS, ids=lambda change: str(change)[:60])
@pytest.mark.parametrize("guidance", [7.5, 1.0])
@pytest.mark.parametrize("version", [1, 2])
def test_an_altered_request_is_refused(
    change: dict[str, Any], guidance: float, version: int, shared: Studio, made: dict[float, dict[str, Any]]
) -> None:
    with pytest.raises(BlipdiffError):
        list(run(shared, job_of(altered(made[guidance], change, version))))


@pytest.mark.parametrize(
    "change",
    [{"seed": 99}, {"seed": 10**400}, {"seed": -1}, {"request": {}}, {"model": {}}, {"model": {"fingerprint": [1]}}],
    ids=str,
)
def test_an_altered_record_of_version_1_is_refused(
    change: dict[str, Any], shared: Studio, made: dict[float, dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError):
        list(run(shared, job_of(version_1(made[7.5]) | change)))


@pytest.mark.parametrize(
    "change",
    [
        {"index": 99},
        {"index": -1},
        {"index": True},
        {"index": "0"},
        {"index": 10**400},
        {"request": {}},
        {"request": None},
        {"task": "paint"},
        {"task": None},
        {"task": "blend"},
        {"version": 99},
        {"version": None},
        {"inputs": None},
        {"inputs": {"weather": []}},
        {"inputs": {"subject": None}},
        {"inputs": {"subject": [None]}},
        {"inputs": {"subject": [{"path": "/etc/passwd"}]}},
        {"inputs": {}},
        {"detail": []},
    ],
    ids=str,
)
def test_an_altered_job_is_refused(change: dict[str, Any], shared: Studio, made: dict[float, dict[str, Any]]) -> None:
    with pytest.raises(BlipdiffError):
        list(run(shared, job_of(made[7.5] | {"job": made[7.5]["job"] | change})))


@pytest.mark.parametrize("model", [{}, {"fingerprint": [1]}], ids=str)
def test_a_picture_of_no_known_model_is_refused(
    model: dict[str, Any], shared: Studio, made: dict[float, dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match="made by the model"):
        list(run(shared, job_of(made[7.5] | {"model": model})))
