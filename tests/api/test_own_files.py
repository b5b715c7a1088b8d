"""Files that people bring, over HTTP: listed, named in jobs, by A1111's marks in prompts, recalled."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.client import Client
from app.server import Running
from pipelines.studio import Studio
from tests.support.brought import factors, vectors, write_embedding, write_kohya
from tests.support.studios import drawn
from tests.support.tiny_models import photo, tiny_model
from tests.support.workshops import served, tiny_studio

REQUEST = {"category": "dog", "prompt": "on a beach", "count": 1, "steps": 3, "seed": 5}


def chalked(name: str, _device: str, added: Any = ()) -> Studio:
    """A tiny model, with LoRAs on it where a job asks for them."""
    if not added:
        return tiny_studio(name)
    return Studio.open(
        added[0].place.parents[1] / "tiny",
        device="cpu",
        dtype="float32",
        loras=[f"{one.place}:{one.weight}" for one in added],
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from blipdiff.checkpoints import save_model

    folder = tmp_path_factory.mktemp("history")
    (folder / "files").mkdir()
    save_model(tiny_model(), folder / "tiny")
    write_kohya(factors(tiny_model()), folder / "files" / "chalk.safetensors", {"modelspec.trigger_phrase": "chalk"})
    write_embedding(folder / "files" / "bad.pt", vectors())
    with served(folder, opened=chalked) as found:
        yield found


@pytest.fixture(scope="module")
def wanted(running: Running) -> np.ndarray:
    folder = running.workshop.folder
    studio = Studio.open(
        folder / "tiny", device="cpu", dtype="float32", loras=[f"{folder / 'files' / 'chalk.safetensors'}:0.5"]
    )
    return drawn(studio, seed=5)[0]


def png() -> bytes:
    stream = io.BytesIO()
    photo().save(stream, format="PNG")
    return stream.getvalue()


def array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def test_files_are_listed_without_their_places(running: Running) -> None:
    told = Client(running.url).files()
    assert [(one["kind"], one["name"], one["words"]) for one in told] == [
        ("embedding", "bad", ["bad"]),
        ("LoRA", "chalk", ["chalk"]),
    ]
    assert str(running.workshop.folder) not in json.dumps(told)


def test_a_job_names_its_lora_and_so_do_its_recalled_job_and_what_is_drawn_again(
    running: Running, wanted: np.ndarray
) -> None:
    client = Client(running.url)
    told = client.submit("generate", REQUEST, added=[{"name": "chalk", "weight": 0.5}], subject=png())
    assert client.wait(told["id"])["state"] == "done"
    name = client.results(told["id"])[0]
    assert np.array_equal(array(client.picture(name)), wanted)
    asked = httpx.get(f"{running.url}/api/v1/jobs/{told['id']}/job").json()["added"]
    again = httpx.get(f"{running.url}/api/v1/results/{name}/job").json()["added"]
    assert asked == again
    assert [(one["kind"], one["name"], one["weight"]) for one in asked] == [("LoRA", "chalk", 0.5)]
    more = httpx.post(f"{running.url}/api/v1/results/{name}/again", json={}).json()
    assert client.wait(more["id"])["state"] == "done"
    assert np.array_equal(array(client.picture(client.results(more["id"])[0])), wanted)


def test_a1111s_mark_in_a_prompt_is_the_same_lora(running: Running, wanted: np.ndarray) -> None:
    body = {"prompt": "<lora:chalk:0.5> on a beach <category:dog>", "steps": 3, "seed": 5, "n_iter": 1, "batch_size": 1}
    body |= {"subject": base64.b64encode(png()).decode(), "width": wanted.shape[1], "height": wanted.shape[0]}
    answer = httpx.post(f"{running.url}/sdapi/v1/txt2img", json=body, timeout=90)
    assert answer.status_code == 200, answer.text
    [entry] = [running.workshop.history.entry(one) for one in _last(running)]
    assert [(one.name, one.weight) for one in running.workshop.history.job(entry).added] == [("chalk", 0.5)]
    assert len(answer.json()["images"]) == 1


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ([{"name": "other"}], "no LoRA 'other' here; there are: chalk"),
        ([{"name": "chalk", "weight": 20}], "goes from -10 to 10"),
        ([{"name": "chalk", "path": "/etc/passwd"}], "give an object with kind, name and weight"),
        (5, "is a list of up to 32"),
        ([{"name": "chalk", "fingerprint": "0" * 16}], "is not among the files here"),
    ],
)
def test_what_is_no_file_here_is_said(running: Running, added: Any, says: str) -> None:
    body = {"task": "generate", "request": REQUEST, "inputs": {"subject": base64.b64encode(png()).decode()}}
    answer = httpx.post(f"{running.url}/api/v1/jobs", json=body | {"added": added})
    assert answer.status_code == 422
    assert says in answer.text


def test_a_wrong_mark_in_a_prompt_is_said(running: Running) -> None:
    body = {"prompt": "<lora:chalk:0.5.5> on a beach <category:dog>", "subject": base64.b64encode(png()).decode()}
    answer = httpx.post(f"{running.url}/sdapi/v1/txt2img", json=body)
    assert answer.status_code in (400, 422)
    assert "write <lora:NAME:0.8>" in answer.text


def _last(running: Running) -> list[str]:
    [ticket] = running.workshop.queue.tickets(source="a1111", most=1)
    return running.workshop.results(ticket)
