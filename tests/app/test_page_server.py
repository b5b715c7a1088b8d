"""The page's server: its port, its end, and what it does not give away."""

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.ui.orders import Orders
from app.ui.page import build_page, launch
from app.ui.server import RunningPage, serve
from blipdiff.errors import ConfigError
from pipelines.studio import Studio
from tests.pipelines.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def running(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    orders = Orders()
    with serve(build_page(studio, Settings(output=tmp_path_factory.mktemp("output")), orders), orders) as page:
        yield page


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def dropped(running: RunningPage, path: Path) -> dict[str, Any]:
    """The server's answer to a browser that says it has uploaded `path` as a subject."""
    change = next(
        one
        for one in httpx.get(running.url + "config", timeout=60).json()["dependencies"]
        if one["inputs"] and any(event == "change" for _, event in one["targets"])
    )
    session = uuid.uuid4().hex
    files = [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]
    body = {"data": [files, ""], "fn_index": change["id"], "session_hash": session}
    httpx.post(running.url + "gradio_api/queue/join", json=body).raise_for_status()
    with httpx.stream("GET", f"{running.url}gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        answers = (json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data:"))
        return dict(next(answer for answer in answers if answer["msg"] == "process_completed"))


def test_the_page_is_served_with_one_heading_and_the_models_name(running: RunningPage) -> None:
    assert httpx.get(running.url, timeout=60).status_code == 200
    shown = json.dumps(httpx.get(running.url + "config", timeout=60).json())
    assert shown.count("<h1>") == 1
    assert "<dd>tiny</dd>" in shown
    assert "<dd>cpu</dd>" in shown
    assert "<dd>float32</dd>" in shown


def test_a_named_port_in_use_is_told_in_a_sentence(studio: Studio, taken: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"The port {taken} at 127.0.0.1 is in use by another program"):
        launch(studio, Settings(output=tmp_path), port=taken, tell=lambda _: pytest.fail("it was served"))


def test_without_a_named_port_the_next_free_one_is_taken(studio: Studio, running: RunningPage, tmp_path: Path) -> None:
    orders = Orders()
    with serve(build_page(studio, Settings(output=tmp_path), orders), orders) as other:
        assert other.url != running.url
        assert httpx.get(other.url).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(other.url)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 0, "from 1 to 65535"),
        ("127.0.0.1", 70000, "from 1 to 65535"),
        ("203.0.113.7", 7860, "no such address"),
        ("no.such.machine.invalid", None, "no machine by the name"),
    ],
)
def test_an_address_that_cannot_be_had_is_told(studio: Studio, host: str, port: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        launch(studio, Settings(), host=host, port=port)


def test_a_browser_cannot_name_a_file_that_it_did_not_upload(running: RunningPage, tmp_path: Path) -> None:
    photo().save(tmp_path / "private.png")
    answer = dropped(running, tmp_path / "private.png")
    assert not answer["success"]
    assert "data:image" not in json.dumps(answer)
    assert httpx.get(f"{running.url}gradio_api/file={tmp_path / 'private.png'}").status_code == 403


def test_no_route_shows_a_document_from_elsewhere(running: RunningPage) -> None:
    for path in ("docs", "redoc", "monitoring"):
        assert httpx.get(running.url + path).status_code in (403, 404)
