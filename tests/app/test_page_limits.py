"""How much of this machine those may ask for who were let in."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest

from app.doors.access import Access, Limits
from tests.support.small_page import join, opened, small_page, upload


def kept(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """limited(upload=1000): a page with these limits, and a folder of its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "own"))
    return lambda **limits: opened(Access(limits=replace(Limits(free=0), **limits)))


def test_a_body_is_counted_as_it_comes_in(limited: Callable[..., Any], tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        while True:
            yield bytes(10_000)

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    with limited(upload=100_000, form=5_000) as page:
        for path, kind in (("upload", form), ("component_server/", form), ("queue/join", {}), ("cancel", {})):
            refused = httpx.post(f"{page.page}gradio_api/{path}", content=endless(), headers=kind)
            assert refused.status_code == 413, path
        assert upload(page.page, ("a.png", bytes(90_000))).status_code == 200
    assert not list((tmp_path / "own").glob("tmp*"))


def test_an_upload_with_too_many_files_or_too_long_a_field_is_refused(
    limited: Callable[..., Any], tmp_path: Path
) -> None:
    with limited(file=1000) as page:
        assert upload(page.page, *(("a.png", b"a") for _ in range(17))).status_code == 400
        assert upload(page.page, ("a.png", bytes(1001))).status_code in (400, 413)
        assert upload(page.page, ("a.png", b"a"), data={"field": "x" * 2000}).status_code == 400
        assert upload(page.page, ("a.png", b"a"), params={"upload_id": "a" * 65}).status_code == 400
        assert upload(page.page, ("a.png", b"a"), params={"upload_id": "abc"}).status_code == 200
        assert httpx.post(f"{page.page}gradio_api/upload", content=b"x").status_code == 400
    assert kept(tmp_path / "own") <= 1


def test_a_browser_that_goes_leaves_nothing_half(limited: Callable[..., Any], tmp_path: Path) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(50_000)
    with limited() as page:
        with socket.create_connection(("127.0.0.1", urlsplit(page.page).port)) as raw:
            lines = (
                "POST /gradio_api/upload HTTP/1.1",
                f"Host: {urlsplit(page.page).netloc}",
                "Content-Length: 90000",
                "Content-Type: multipart/form-data; boundary=x",
                "",
                "",
            )
            raw.sendall("\r\n".join(lines).encode() + head)
            wait_for(lambda: kept(tmp_path / "own") > 0)
        wait_for(lambda: kept(tmp_path / "own") == 0)


def test_the_folder_keeps_its_size_and_what_was_not_used_goes_first(
    limited: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "example.png").write_bytes(bytes(100))
    with limited(space=10_000) as page:
        first, second = (upload(page.page, (f"{name}.png", name.encode() * 4000)).json()[0] for name in "ab")
        refused = upload(page.page, ("c.png", b"c" * 4000))
        assert refused.status_code == 507, "both are in use"
        monkeypatch.setattr("app.doors.space._SECONDS_IN_USE", -1)
        assert httpx.get(f"{page.page}gradio_api/file={first}").status_code == 200  # now the second is the oldest
        assert upload(page.page, ("c.png", b"c" * 4000)).status_code == 200
        assert Path(first).exists()
        assert not Path(second).exists()
        assert (tmp_path / "own" / "example.png").exists()
        assert kept(tmp_path / "own") <= 10_000


def test_painted_pictures_that_wait_for_their_request_are_few(limited: Callable[..., Any]) -> None:
    page = small_page()
    editor = next(block for block in page.blocks.values() if isinstance(block, gr.ImageEditor))

    def paint(url: str, name: str, **more: str) -> int:
        fields = {
            "component_id": str(editor._id),
            "fn_name": "accept_blobs",
            "session_hash": "abc",
            "type": "composite",
            "index": "null",
            "id": name,
            **more,
        }
        return httpx.post(
            f"{url}gradio_api/component_server/", data=fields, files={"file": ("b", b"x" * 100)}
        ).status_code

    with opened(Access(limits=replace(Limits(), canvases=3, painted=1_000)), page) as running:
        assert [paint(running.page, f"canvas-{number}") for number in range(6)] == [200] * 6
        assert list(editor.blob_storage) == ["canvas-3", "canvas-4", "canvas-5"]
        assert paint(running.page, "a", type="layer", index="999999999") == 400
        assert paint(running.page, "a", type="other") == 400
        assert paint(running.page, "a", component_id="0") == 400
        assert paint(running.page, "a", fn_name="preprocess") == 404


def test_a_session_that_asks_for_everything_at_once_is_told_to_wait(limited: Callable[..., Any]) -> None:
    with limited(pending=3) as page:
        codes = [join(page.page, 2, "20", session="greedy").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        others = [join(page.page, 2, "0").status_code for _ in range(12)]
        assert set(others) == {200, 503}
        assert others[-1] == 503  # the line is full


def test_connections_that_ask_for_nothing_are_ended(limited: Callable[..., Any]) -> None:
    with limited(seconds=0.3, connections=10) as page:
        port = urlsplit(page.page).port
        with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
            assert silent.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: a")
            assert slow.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as half:
            half.sendall(
                f"POST /gradio_api/cancel HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            assert half.recv(100).split()[1] == b"408"
        many = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(11)]
        assert sum(is_ended(one) for one in many) == 11
        for one in many:
            one.close()
        assert httpx.get(page.page).status_code == 200


def is_ended(one: socket.socket) -> bool:
    try:
        return one.recv(10) == b""
    except ConnectionResetError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about")
