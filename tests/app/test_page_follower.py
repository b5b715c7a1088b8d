"""What a page is told by itself from when it is opened on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from app.jobs.tickets import Sender
from app.ui import follower
from app.ui.notices import guarded
from app.ui.room import Room
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.studio import Studio
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import photo, tiny_model


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


def test_pictures_that_were_chosen_from_stand_in_their_order_again(tmp_path: Path) -> None:
    workshop = workshop_in(tmp_path, Studio(tiny_model()))
    sender = Sender(client="a browser", source="page")
    workshop.start()
    try:
        request = GenerateRequest(category="dog", prompt="on grass", steps=1, count=4, best=2)
        asked = Job.of(request, subject=SubjectPhoto(photo(), "dog"))
        ticket = workshop.wait(workshop.submit(asked, sender).id, 120)
        with gr.Blocks() as page:
            room = Room(page, workshop, settings_in(tmp_path))
        view = follower.Follower(room, sender)._restored(ticket)
    finally:
        workshop.close()
    worth = [one.worth for one in view.drawn]
    assert len(worth) == 4
    assert worth == sorted(worth, reverse=True)
    assert len(set(worth)) > 1
    assert all(one.label.startswith("prompt ") for one in view.drawn)
