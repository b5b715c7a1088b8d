"""Questions over HTTP: answers, turns, a heat map; what is wrong is one sentence."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from transformers import BlipForQuestionAnswering

from app.jobs.engines import BUNDLED, Engines
from app.server import Running
from blipdiff.errors import CheckpointError, ConfigError
from tests.support.tiny_engines import save_blip
from tests.support.tiny_models import photo
from tests.support.workshops import served

pytestmark = pytest.mark.bundled
BALLOON = (Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects" / "balloon.png").read_bytes()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("history")) as found:
        yield found


def asked(running: Running, **body: Any) -> httpx.Response:
    told = {"photo": base64.b64encode(BALLOON).decode(), "questions": ["what colour is the balloon?"]} | body
    return httpx.post(f"{running.url}/api/v1/ask", json=told, timeout=60)


def test_questions_are_answered_with_the_turns_before_them(running: Running) -> None:
    turns = [{"question": "is it a balloon?", "answer": "yes"}]
    answer = asked(running, questions=["what colour is it?", "is it red or green?"], turns=turns, request={"beams": 2})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["engine"] == BUNDLED
    assert [one["answer"] for one in told["answers"]] == ["red", "red"]
    assert sum(share for _, share in told["answers"][0]["chances"]) == pytest.approx(1)
    assert "heat_map" not in told["answers"][0]


def test_a_form_may_send_the_file_and_ask_for_the_map(running: Running) -> None:
    fields = {"questions": "what colour is the balloon?", "heat_map": "true"}
    answer = httpx.post(f"{running.url}/api/v1/ask", data=fields, files={"photo": BALLOON}, timeout=60)
    assert answer.status_code == 200, answer.text
    (told,) = answer.json()["answers"]
    assert "a balloon" in told["looked"]
    with Image.open(io.BytesIO(base64.b64decode(told["heat_map"]))) as heat, Image.open(io.BytesIO(BALLOON)) as seen:
        assert heat.size == seen.size


def test_the_engines_that_may_be_asked_are_listed(running: Running) -> None:
    assert httpx.get(f"{running.url}/api/v1/engines", timeout=20).json() == {"engines": [BUNDLED]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"questions": []}, "ask 1 to 20"),
        ({"questions": ["what is it?"] * 21}, "ask 1 to 20"),
        ({"questions": [3]}, "texts"),
        ({"questions": ["  "]}, "empty"),
        ({"questions": ["why " * 2500]}, "letters long"),
        ({"questions": ["who made it?"]}, "another kind"),
        ({"engine": "blip-2"}, "No engine 'blip-2'"),
        ({"turns": [{"question": "a"}]}, "Turns are a list"),
        ({"request": {"beams": 0}}, "Beams is 0"),
        ({"request": {"fps": 3}}, "fps"),
        ({"photo": "aGVsbG8="}, "picture"),
        ({"photo": "https://example.com/a.png"}, "not fetched"),
        ({"prompt": "a dog"}, "no field 'prompt'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(running: Running, body: dict[str, Any], says: str) -> None:
    answer = asked(running, **body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["error"]["message"]


def test_an_operator_offers_more_engines_of_which_one_is_open(tmp_path: Path) -> None:
    save_blip(BlipForQuestionAnswering, tmp_path / "vqa")
    engines = Engines(f"blip-vqa={tmp_path / 'vqa'}, plug-and-play:reader={tmp_path / 'none'}, blip-2")
    assert engines.names == (BUNDLED, "blip-vqa", "plug-and-play", "blip-2")
    engine, (answer,) = engines.answers("blip-vqa", photo(), ["what is it ?"], look=True)
    assert (engine.name, answer.question) == ("blip-vqa", "what is it ?")
    assert answer.looked is not None
    assert engines._open is not None and engines._open[1] is engine
    engines.answers(BUNDLED, photo(0, (64, 64)), ["what is it?"])
    assert engines._open[0] == BUNDLED
    with pytest.raises(CheckpointError):
        engines.answers("plug-and-play", photo(), ["what is it?"])
    for wrong in ("=folder", "blip-vqa=", ":reader=x"):
        with pytest.raises(ConfigError, match="offers no engine"):
            Engines(wrong)
