"""What of Gradio is open behind the page's door, and what an open route makes of hostile requests."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest
from starlette.routing import Mount

from app.doors.access import Access
from app.doors.routes import route_of, whole_number
from app.server import Running
from app.ui.mounted import behind_door
from tests.support.small_page import answer, join, opened, small_page, upload

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where these pages keep uploads."""
    place = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(place))
        yield place


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    with opened() as page:
        yield page


def paths_of(router: Any) -> Iterator[str]:
    """Every route of an application, and of the routers that it includes."""
    for route in router.routes:
        if hasattr(route, "path"):
            yield route.path
        else:
            yield from (route.include_context.prefix + path for path in paths_of(route.original_router))


def test_everything_that_gradio_offers_and_the_page_does_not_use_is_closed(running: Running) -> None:
    application = next(one.app for one in behind_door(small_page(), Access())._inside.routes if isinstance(one, Mount))
    paths = set(paths_of(application))
    assert len(paths) > 40
    closed = sorted(path for path in paths if route_of(path.replace("{path:path}", "x")) is None)
    for part in (
        "/run/",
        "/api/",
        "/call/",
        "/info",
        "openapi",
        "proxy=",
        "/stream/",
        "login",
        "monitoring",
        "vibe",
        "deep_link",
        "custom_component",
        "process_recording",
        "startup-events",
        "/file/",
        "token",
    ):
        assert any(part in path for path in closed), part
    for path in closed:
        made = path.replace("{path:path}", "x").replace("{", "").replace("}", "").replace(":path", "").lstrip("/")
        assert httpx.get(running.page + made).status_code == 404, path
        assert httpx.post(running.page + made, json={}).status_code == 404, path


@pytest.mark.parametrize(
    "path", ["docs", "redoc", "openapi.json", "gradio_api//info", "gradio_api/../config", "GRADIO_API/info"]
)
def test_no_other_spelling_opens_a_route(running: Running, path: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(running.page).port)) as raw:
        raw.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {urlsplit(running.page).netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        assert raw.recv(100).split()[1] == b"404"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../etc/passwd",
        "{folder}/../../etc/passwd",
        "http://127.0.0.1:1/x",
        "{folder}",
        "{folder}/nothing",
        "%2e%2e/x",
        "file:///etc/passwd",
        "{folder}/link",
        "\\\\host\\share",
    ],
)
def test_only_files_of_the_pages_own_folder_are_served(running: Running, folder: Path, path: str) -> None:
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/passwd")
    asked = path.format(folder=folder)
    assert httpx.get(f"{running.page}gradio_api/file={asked}").status_code in (403, 404)
    file = {"path": asked, "meta": {"_type": "gradio.FileData"}}
    assert join(running.page, 0, file).status_code == 403


def test_what_people_upload_never_runs_in_a_browser(running: Running) -> None:
    files = [("a.svg", SVG), ("a.html", b"<script>alert(1)</script>"), ("../../a.xml", SVG), ("a.png", b"\x89PNG")]
    paths = upload(running.page, *files).json()
    assert [Path(path).name for path in paths] == ["a.svg", "a.html", "a.xml", "a.png"]
    for path in paths:
        headers = httpx.get(
            f"{running.page}gradio_api/file={path}", headers={"Range": "bytes=0-3", "X-Echo": "1"}
        ).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
        assert "x-echo" not in headers
        if not path.endswith(".png"):
            assert headers["content-disposition"].startswith("attachment")
            assert headers["content-type"] == "application/octet-stream"


def test_the_page_cannot_be_framed_nor_load_from_elsewhere(running: Running) -> None:
    for path in ("", "config", "nothing", "theme.css"):
        headers = httpx.get(running.page + path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src-attr 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_nothing_that_a_request_names_is_fetched(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    async def fetch(url: str, *_: Any, **__: Any) -> Any:
        fetched.append(url)
        raise OSError("fetched")

    for name in (
        "gradio.processing_utils.async_ssrf_protected_get",
        "gradio.routes.secure_url_stream_response",
        "safehttpx.get",
        "safehttpx.async_validate_url",
    ):
        monkeypatch.setattr(name, fetch)
    url, meta = "https://example.com/a.png", {"_type": "gradio.FileData"}
    for file in (
        {"path": url, "meta": meta},
        {"path": url},
        {"url": url},
        {"path": None, "url": url, "meta": meta},
        {"path": None, "url": "data:image/png;base64,AAAA", "is_stream": True},
        url,
    ):
        session = uuid.uuid4().hex
        if join(running.page, 0, file, session=session).status_code == 200:
            told = answer(running.page, session)
            assert not told["success"] or told["output"]["data"] == ["None"]
    for path in (f"gradio_api/file={url}", f"gradio_api/proxy={url}", f"gradio_api/file/{url}"):
        assert httpx.get(running.page + path).status_code in (403, 404)
    assert fetched == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"data": {}}',
        b"1" * 6000,
        b'{"data": [null], "fn_index": 99, "session_hash": "a"}',
        b'{"data": [null], "fn_index": true, "session_hash": "a"}',
        b'{"data": [null, 1], "fn_index": 0, "session_hash": "a"}',
        b'{"data": [null], "fn_index": 0}',
        b'{"data": [null], "fn_index": 0, "session_hash": "../a"}',
        b"\xff\xfe",
    ],
)
def test_a_malformed_request_is_refused_without_a_bug(
    running: Running, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in ("queue/join", "cancel"):
        refused = httpx.post(
            f"{running.page}gradio_api/{path}", content=body, headers={"Content-Type": "application/json"}
        )
        assert 400 <= refused.status_code < 500
        assert "Traceback" not in refused.text
    assert "Traceback" not in capfd.readouterr().err


def test_a_session_that_is_not_known_is_told_as_the_pages_script_wants_it(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    assert answer(running.page, "never-asked")["session_not_found"] is True
    assert httpx.get(f"{running.page}gradio_api/heartbeat/a..b").status_code == 400
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("rest", ["a" * 300, "a/" * 2500, "%C3%BC" * 130, "%00"])
def test_a_file_that_no_system_can_have_is_not_there(running: Running, rest: str) -> None:
    for start in ("assets/", "static/"):
        assert httpx.get(f"{running.page}{start}{rest}").status_code == 404


@pytest.mark.parametrize("number", ["\u00b2", "\u0663", "-1", "x", "", "9" * 900])
def test_a_canvas_is_named_by_a_number_in_plain_digits(running: Running, number: str) -> None:
    fields = {"component_id": number, "fn_name": "accept_blobs", "session_hash": "abc"}
    answered = httpx.post(f"{running.page}gradio_api/component_server", data=fields, files={"file": ("b", b"x")})
    assert answered.status_code == 404
    assert whole_number(number) is None


def test_an_event_that_runs_in_the_browser_alone_is_not_asked_of_the_page(running: Running) -> None:
    blocks = small_page()  # its events have the same numbers
    with blocks, gr.Row():
        gr.Button().click(None, js="() => []")
    number = next(one for one, function in blocks.fns.items() if function.fn is None)
    asked = {"fn_index": number, "data": [], "session_hash": "abc"}
    assert httpx.post(f"{running.page}gradio_api/queue/join", json=asked).status_code == 400
