"""MCP: the official client finds the tasks as tools, brings pictures in, draws, waits and cancels, as its token may."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.tokens import DRAW, READ, Holder, Tokens
from app.api.tools import tools
from app.jobs.uploads import Uploads
from app.server import Running
from blipdiff.errors import ConfigError
from pipelines.task import tasks
from tests.api.test_interface import array, png
from tests.support.studios import drawn
from tests.support.workshops import served, tiny_studio

pytest.importorskip("mcp")
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

TOKEN, READER = "d" * 20, "r" * 20
TOKENS = Tokens(
    {
        hashlib.sha256(TOKEN.encode()).hexdigest(): Holder("one", frozenset({DRAW, READ}), pictures=3),
        hashlib.sha256(READER.encode()).hexdigest(): Holder("reader", frozenset({READ})),
    }
)
REQUEST = {"category": "dog", "prompt": "on a beach", "count": 2, "steps": 3, "seed": 5}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("history"), tokens=TOKENS, speaks_mcp=True) as found:
        yield found


def asked(
    running: Running, ask: Callable[[Client], Awaitable[Any]], token: str | None = TOKEN, mode: str = "auto"
) -> Any:
    """What the official client makes of it."""

    async def asks() -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as line:
            transport = streamable_http_client(f"{running.url}/mcp", http_client=line)
            async with Client(transport, mode=mode) as client:
                return await ask(client)

    return asyncio.run(asks())


def called(running: Running, name: str, values: dict[str, Any], **more: Any) -> Any:
    return asked(running, lambda client: client.call_tool(name, values), **more)


def upload(running: Running) -> str:
    return str(called(running, "upload", {"file": base64.b64encode(png()).decode()}).structured_content["id"])


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_each_task_is_a_tool_with_the_schema_of_its_request(running: Running, mode: str) -> None:
    found = {one.name: one for one in asked(running, lambda client: client.list_tools(), mode=mode).tools}
    assert set(found) == {
        *tasks(),
        "upload",
        "jobs",
        "wait",
        "cancel",
        "picture",
        "history",
        "subjects",
        "keep_subject",
    }
    assert found["edit"].input_schema["properties"]["request"]["properties"]["steps"]["maximum"] == 1000
    assert set(found["scene"].input_schema["properties"]["inputs"]["properties"]) == set(tasks()["scene"].inputs)
    assert set(tools()) == set(found)


def test_an_uploaded_photo_is_drawn_and_pictures_come_back_as_images(running: Running) -> None:
    heard: list[tuple[float, float | None]] = []

    async def hear(step: float, steps: float | None, _text: str | None) -> None:
        heard.append((step, steps))

    values = {"request": REQUEST, "inputs": {"subject": {"upload": upload(running)}}}
    found = asked(running, lambda client: client.call_tool("generate", values, progress_callback=hear))
    assert not found.is_error
    assert [one.type for one in found.content] == ["text", "image", "image"]
    pictures = [array(base64.b64decode(one.data)) for one in found.content[1:]]
    expected = drawn(tiny_studio(), seed=5, count=2)
    assert all(np.array_equal(one, other) for one, other in zip(pictures, expected, strict=True))
    assert heard[-1] == (3.0, 3.0)
    about = json.loads(found.content[0].text)
    assert (about["state"], about["source"], about["owner"]) == ("done", "mcp", "one")
    small = called(running, "picture", {"result": about["results"][0]["id"], "side": 16}).content[1]
    assert base64.b64decode(small.data).startswith(b"\xff\xd8")
    assert called(running, "history", {"words": "beach"}).structured_content["results"]


def test_a_job_that_takes_long_is_waited_for_and_cancelled(running: Running) -> None:
    values = {"request": REQUEST | {"steps": 900}, "inputs": {"subject": base64.b64encode(png()).decode()}, "wait": 0}
    job = called(running, "generate", values).structured_content["id"]
    assert called(running, "jobs", {}).structured_content["jobs"][0]["id"] == job
    assert called(running, "wait", {"job": job, "wait": 0.1}).structured_content["state"] in ("waiting", "drawing")
    called(running, "cancel", {"job": job})
    assert called(running, "wait", {"job": job}).structured_content["state"] == "cancelled"


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("generate", {"request": REQUEST | {"steps": -1}, "inputs": {"subject": base64.b64encode(png()).decode()}},
         "Steps is -1"),
        ("generate", {"request": REQUEST, "inputs": {"subject": "http://127.0.0.1/x.png"}}, "not fetched"),
        ("generate", {"request": REQUEST, "inputs": {"subject": {"path": "/etc/passwd"}}}, "names a file"),
        ("generate", {"request": REQUEST, "inputs": {"subject": {"upload": "u" + "0" * 40}}}, "no upload is kept"),
        ("generate", {"request": REQUEST | {"count": 4}, "inputs": {"subject": base64.b64encode(png()).decode()}},
         "3 are allowed"),
        ("generate", {"request": 5}, "request is an object"),
        ("upload", {"file": base64.b64encode(b"no picture").decode()}, "not a picture that can be read"),
        ("upload", {"file": 7}, "base64"),
        ("wait", {"job": "0" * 21}, "no job"),
        ("wait", {"job": ["x"], "wait": 1}, "job is a text"),
        ("picture", {"result": "../../etc/passwd"}, "no result"),
        ("keep_subject", {"file": base64.b64encode(png()).decode(), "category": "dog"}, "needs the scope 'subjects'"),
        ("rm", {}, "There is no tool"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_a_sentence(running: Running, name: str, values: dict[str, Any], words: str) -> None:
    found = called(running, name, values)
    assert found.is_error
    assert words in found.content[0].text


def test_only_who_shows_a_token_comes_in_and_each_sees_their_own(running: Running) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepts = {"Accept": "application/json, text/event-stream"}
    assert httpx.post(f"{running.url}/mcp", json=body, headers=accepts).status_code == 401
    other = accepts | {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}
    assert httpx.post(f"{running.url}/mcp", json=body, headers=other).status_code == 403
    assert httpx.get(f"{running.url}/mcp", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405
    kept = upload(running)
    refused = called(running, "generate", {"request": REQUEST, "inputs": {"subject": {"upload": kept}}}, token=READER)
    assert refused.is_error
    assert called(running, "jobs", {}, token=READER).structured_content == {"jobs": []}
    assert running.workshop.uploads.find("reader", kept) is None


def test_there_are_no_tools_unless_they_are_switched_on(tmp_path: Path) -> None:
    with served(tmp_path) as found:
        assert httpx.post(f"{found.url}/mcp", json={}).status_code == 404


def test_an_upload_over_http_is_named_in_a_job_until_its_hour_is_over(running: Running, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    kept = httpx.post(f"{running.url}/api/v1/uploads", files={"file": png()}, headers=headers)
    assert kept.status_code == 201
    job = {"request": REQUEST, "inputs": {"subject": [{"upload": kept.json()["id"]}]}}
    made = httpx.post(f"{running.url}/api/v1/jobs?wait=60", json=job, headers=headers, timeout=60)
    assert made.json()["state"] == "done", made.text
    now = [0.0]
    uploads = Uploads(tmp_path, most=10, clock=lambda: now[0])
    name = uploads.keep("one", b"abc")
    assert uploads.find("one", name) == uploads.find(None, name) == b"abc"
    assert uploads.find("other", name) is None
    with pytest.raises(ConfigError, match="kept for you already"):
        uploads.keep("one", b"0123456789")
    now[0] = 1e12
    assert uploads.find("one", name) is None, "nobody has sent anything since, which would have removed it"
    assert list(tmp_path.rglob("u*")) == []
