"""The page's server: its port, its end, and what it does not give away."""

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.cli.main import run_blipdiff
from app.doors.access import Access
from app.jobs.workshop import Machine
from app.launch import launch
from app.server import Running
from app.settings import AUTH, Settings
from blipdiff.errors import ConfigError
from pipelines.studio import Studio
from tests.support.pages import served_page
from tests.support.tiny_models import photo, tiny_model

MACHINE = Machine(["none"], lambda name, _device: pytest.fail(f"{name} was opened"))


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def running(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served_page(studio, tmp_path_factory.mktemp("served")) as page:
        yield page


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def dropped(running: Running, path: Path) -> httpx.Response:
    """The server's answer to a browser that says it has uploaded `path` as a subject."""
    change = next(
        one
        for one in httpx.get(running.page + "config", timeout=60).json()["dependencies"]
        if one["inputs"] and any(event == "change" for _, event in one["targets"])
    )
    files = [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]
    others = [1.0] * (len(change["inputs"]) - 2)  # weights
    body = {"data": [files, *others, ""], "fn_index": change["id"], "session_hash": uuid.uuid4().hex}
    return httpx.post(running.page + "gradio_api/queue/join", json=body)


def test_the_page_is_served_with_one_heading_and_the_models_name(running: Running) -> None:
    assert httpx.get(running.page, timeout=60).status_code == 200
    shown = json.dumps(httpx.get(running.page + "config", timeout=60).json())
    assert shown.count("<h1>") == 1
    assert "<dd>tiny</dd>" in shown


def test_a_named_port_in_use_is_told_in_a_sentence(taken: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"The port {taken} at 127.0.0.1 is in use by another program"):
        launch(MACHINE, Settings(history=tmp_path), port=taken, tell=lambda _: pytest.fail("it was served"))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--port", "{taken}"], "is in use by another program"),
        (["--host", "0.0.0.0"], "other machines reach the page"),
        (["--host", "0.0.0.0", "--token", "short"], "--token wants 16 letters"),
        (["--auth", "@no-file"], "no-file of --auth cannot be read"),
        (["--allow-host", "a b"], "--allow-host is 'a b'"),
    ],
)
def test_what_cannot_be_served_is_told_before_the_model_is_loaded(
    asked: list[str], words: str, taken: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.runs.ui.launch", lambda *_, **__: pytest.fail("it was served"))
    monkeypatch.setattr("sys.argv", ["blipdiff", "ui", *(part.format(taken=taken) for part in asked)])
    assert run_blipdiff() == 2
    assert words in capfd.readouterr().err


def test_the_environment_gives_a_password_and_the_console_warns_where_nobody_is_asked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def served(*_: object, access: Access, **__: object) -> None:
        given.append(access)

    given: list[Access] = []
    monkeypatch.setattr("app.cli.runs.ui.launch", served)
    monkeypatch.setattr("sys.argv", ["blipdiff", "ui", "--host", "0.0.0.0", "--insecure"])
    assert run_blipdiff() == 0
    assert "Everybody who reaches 0.0.0.0" in capfd.readouterr().err
    monkeypatch.setenv(AUTH, "anna:a good password")
    assert run_blipdiff() == 0
    assert "Everybody" not in capfd.readouterr().err
    assert [access.credentials.account for access in given] == [None, "anna:a good password"]
    assert "good password" not in repr(given)


def test_without_a_named_port_the_next_free_one_is_taken(studio: Studio, running: Running, tmp_path: Path) -> None:
    with served_page(studio, tmp_path) as other:
        assert other.page != running.page
        assert httpx.get(other.page).status_code == 200
    assert not other.thread.is_alive()  # its port may be another test's by now


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 0, "from 1 to 65535"),
        ("127.0.0.1", 70000, "from 1 to 65535"),
        ("203.0.113.7", 7860, "no such address"),
        ("no.such.machine.invalid", None, "no machine by the name"),
    ],
)
def test_an_address_that_cannot_be_had_is_told(host: str, port: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        launch(MACHINE, host=host, port=port, access=Access(is_insecure=True))


def test_a_browser_cannot_name_a_file_that_it_did_not_upload(running: Running, tmp_path: Path) -> None:
    photo().save(tmp_path / "private.png")
    assert dropped(running, tmp_path / "private.png").status_code == 403
    assert httpx.get(f"{running.page}gradio_api/file={tmp_path / 'private.png'}").status_code == 403
