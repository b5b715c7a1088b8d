"""Programs that were made for other servers: the official client of OpenAI, and one of A1111's web UI."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.client import Client
from app.api.wishes import mask_of, named_in
from app.server import Running
from tests.api.test_interface import array, png
from tests.support.studios import drawn
from tests.support.tiny_models import photo
from tests.support.workshops import served, tiny_studio

openai = pytest.importorskip("openai")
webuiapi = pytest.importorskip("webuiapi")

OURS = {"category": "dog", "steps": 3, "seed": 5}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("history")) as found:
        Client(found.url).add_subject(png(), name="Rex", category="dog")
        yield found


@pytest.fixture
def client(running: Running) -> Any:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
def webui(running: Running) -> Any:
    return webuiapi.WebUIApi(host="127.0.0.1", port=int(running.url.rsplit(":", 1)[1]))


def decoded(text: str) -> np.ndarray:
    return array(base64.b64decode(text))


def test_openais_client_lists_models(client: Any) -> None:
    assert [one.id for one in client.models.list()] == ["tiny", "other"]
    assert client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-image-1")


def test_an_image_without_a_mask_is_a_subject(client: Any) -> None:
    found = client.images.edit(image=png(), prompt="on a beach", n=2, extra_body=OURS)
    assert [decoded(one.b64_json).tolist() for one in found.data] == [
        one.tolist() for one in drawn(tiny_studio(), seed=5, count=2)
    ]
    several = client.images.edit(image=[png(), png(1)], prompt="on a beach", extra_body=OURS)
    assert len(several.data) == 1


def test_an_image_with_a_mask_is_edited(client: Any) -> None:
    mask = photo().convert("RGBA")
    mask.putalpha(Image.new("L", mask.size, 255))
    mask.paste((0, 0, 0, 0), (0, 0, mask.width // 2, mask.height))  # what may change is transparent
    stream = io.BytesIO()
    mask.save(stream, format="PNG")
    white = np.asarray(Image.open(io.BytesIO(mask_of(stream.getvalue()))))
    assert white[:, : mask.width // 2].min() == 255
    assert white[:, mask.width // 2 :].max() == 0
    told = {"from": "cat", "to": "dog", "steps": 4, "seed": 1}
    found = client.images.edit(image=png(), mask=stream.getvalue(), prompt="on a sofa", extra_body=told)
    assert len(found.data) == 1


def test_a_subject_of_the_library_is_named_in_the_prompt(client: Any) -> None:
    found = client.images.generate(prompt="<subject:Rex> on a beach", model="tiny", extra_body={"steps": 3, "seed": 5})
    assert np.array_equal(decoded(found.data[0].b64_json), drawn(tiny_studio(), seed=5)[0])
    url = client.images.generate(
        prompt="<subject:Rex> on a beach", response_format="url", extra_body={"steps": 3, "seed": 5}
    )
    assert array(httpx.get(url.data[0].url).content).tolist() == decoded(found.data[0].b64_json).tolist()
    jpeg = client.images.generate(prompt="<subject:Rex>", output_format="jpeg", extra_body={"steps": 2})
    assert base64.b64decode(jpeg.data[0].b64_json).startswith(b"\xff\xd8")


def test_partial_images_are_streamed(client: Any) -> None:
    stream = client.images.generate(
        prompt="<subject:Rex> on a beach", stream=True, partial_images=2, extra_body={"steps": 8}
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    edits = client.images.edit(image=png(), prompt="x", stream=True, partial_images=1, extra_body=OURS)
    assert [event.type for event in edits] == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompt": "on a beach"}, "Which subject"),
        ({"prompt": "<subject:Nobody>"}, "no subject 'Nobody'"),
        ({"prompt": "<subject:Rex>", "n": 99}, "n is 99"),
        ({"prompt": "<subject:Rex>", "size": "huge"}, "The size is"),
        ({"prompt": "<subject:Rex>", "output_format": "gif"}, "output_format"),
        ({"prompt": "<subject:Rex>", "extra_body": {"steps": -1}}, "Steps is -1"),
    ],
)
def test_openais_client_is_told_what_is_wrong(client: Any, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.images.generate(**asked)
    assert refused.value.status_code in (400, 422)
    assert words in refused.value.body["message"]


def test_a_photo_of_which_nobody_says_what_it_shows_is_asked_for(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="What does the picture show"):
        client.images.edit(image=png(), prompt="on a beach")
    assert named_in("<subject:Rex> a <category: dog > run") == ("a run", ["Rex"], "dog")


def test_txt2img_and_img2img(webui: Any) -> None:
    found = webui.txt2img(
        prompt="<subject:Rex> on a beach", seed=5, steps=3, cfg_scale=7.5, width=16, height=16, sampler_name="UniPC"
    )
    assert np.array_equal(np.asarray(found.image).astype(int), drawn(tiny_studio(), seed=5, guidance=7.5)[0])
    assert found.info["all_seeds"] == [5]
    assert found.info["sampler_name"] == "unipc"
    two = webui.txt2img(prompt="<subject:Rex>", steps=2, width=16, height=16, batch_size=2, sampler_name="Euler a")
    assert len(two.images) == 2
    shown = webui.img2img(images=[photo()], prompt="<category:dog> on a beach", steps=2, width=16, height=16)
    assert len(shown.images) == 1
    edited = webui.img2img(
        images=[photo()],
        mask_image=Image.new("L", photo().size, 255),
        prompt="on a sofa",
        steps=4,
        alwayson_scripts={"blipdiff": {"args": [{"from": "cat", "to": "dog"}]}},
        sampler_name="DDIM",
    )
    assert len(edited.images) == 1


def test_a1111s_clients_follow_and_interrupt(webui: Any, running: Running) -> None:
    found: list[Any] = []
    asked = {"prompt": "<subject:Rex>", "steps": 500, "width": 16, "height": 16}
    address = f"{running.url}/sdapi/v1/txt2img"
    drawing = threading.Thread(target=lambda: found.append(httpx.post(address, json=asked, timeout=60)))
    drawing.start()
    end = time.monotonic() + 30
    while not (told := webui.get_progress())["current_image"] and time.monotonic() < end:
        time.sleep(0.02)
    assert 0 < told["progress"] < 1
    assert base64.b64decode(told["current_image"]).startswith(b"\xff\xd8")
    webui.interrupt()
    drawing.join(30)
    assert found[0].json()["images"] == []
    assert webui.get_progress()["progress"] == 0
    assert {one["name"] for one in webui.get_samplers()} >= {"ddim", "euler-a"}
    assert [one["title"] for one in webui.get_sd_models()] == ["tiny", "other"]


def test_who_hangs_up_wants_no_picture_any_more(running: Running) -> None:
    asked = {"prompt": "<subject:Rex>", "steps": 900}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{running.url}/v1/images/generations", json=asked, timeout=0.5)
    client = Client(running.url)
    end = time.monotonic() + 30
    while client.jobs()[0]["state"] != "cancelled" and time.monotonic() < end:
        time.sleep(0.05)
    assert client.jobs()[0]["state"] == "cancelled"


def test_what_the_sender_could_have_known_is_no_fault_of_the_server(client: Any) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="cannot make 900 steps"):
        client.images.generate(prompt="<subject:Rex>", extra_body={"steps": 900, "scheduler": "lcm"})
    with pytest.raises(openai.InternalServerError), pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.jobs.artist.run", lambda *_given, **_more: 1 // 0)
        client.images.generate(prompt="<subject:Rex>", extra_body={"steps": 2})
