"""A page of three controls behind the page's own door, and what a browser asks it."""

import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import httpx

from app.doors.access import Access
from app.jobs.workshop import Machine, Workshop
from app.server import Running, serve
from app.ui.mounted import behind_door


def small_page() -> gr.Blocks:
    """A page with a photo, a canvas and a text, each of which is told as it comes."""
    with gr.Blocks(analytics_enabled=False) as page:
        given, told = gr.Image(type="filepath"), gr.Textbox()
        canvas = gr.ImageEditor()
        given.change(str, given, told, api_visibility="private")
        canvas.change(str, canvas, told, api_visibility="private")
        told.submit(lambda text: time.sleep(float(text)), told, None, api_visibility="private")
    page.queue(max_size=8, default_concurrency_limit=1)
    return page


@contextmanager
def opened(access: Access | None = None, page: gr.Blocks | None = None, **more: Any) -> Iterator[Running]:
    """A page served with a workshop whose models are never opened."""
    access, page = access or Access(), page or small_page()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), Machine(["none"], _never), library=Path(folder) / "subjects")
        with serve(
            workshop, access=access, page=behind_door(page or small_page(), access or Access()), **more
        ) as running:
            yield running


def _never(name: str, _device: str) -> Any:
    raise AssertionError(f"{name} was opened")


def join(url: str, number: int, *values: Any, session: str = "", **more: Any) -> httpx.Response:
    """Asks for an event of the page."""
    body = {"data": list(values), "fn_index": number, "session_hash": session or uuid.uuid4().hex, **more}
    return httpx.post(f"{url}gradio_api/queue/join", json=body)


def answer(url: str, session: str) -> dict[str, Any]:
    """What a session's event came to."""
    with httpx.stream("GET", f"{url}gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        messages = (json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:"))
        return dict(
            next(message for message in messages if message["msg"] in ("process_completed", "unexpected_error"))
        )


def upload(url: str, *files: tuple[str, bytes], **more: Any) -> httpx.Response:
    return httpx.post(f"{url}gradio_api/upload", files=[("files", file) for file in files], timeout=60, **more)
