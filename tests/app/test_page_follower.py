"""What a page is told by itself from when it is opened on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from app.ui import follower
from app.ui.notices import guarded
from app.ui.room import Room
from pipelines.studio import Studio
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import tiny_model


def test_a_page_that_is_opened_before_the_model_is_told_of_it_later(tmp_path: Path) -> None:
    workshop = workshop_in(tmp_path, Studio(tiny_model()))
    with gr.Blocks() as page:
        room = Room(page, workshop, settings_in(tmp_path))
        room.heading, room.line = gr.HTML(), gr.HTML()
    visit: Any = SimpleNamespace(session_hash="one", username=None, headers={}, client=None)

    async def told() -> list[Any]:
        async with aclosing(guarded(follower.follow)(room, visit, "a browser")) as changes:
            first = await anext(changes)
            workshop.start()
            return [first, await anext(changes)]

    try:
        with ThreadPoolExecutor(1) as thread:  # a browser's tests may have a loop of their own in this one
            first, then = thread.submit(asyncio.run, told()).result()
    finally:
        workshop.close()
    assert first != {}, "Gradio ends a function that gives an empty mapping"
    assert room.heading in then
