"""What is there when the page is opened: the jobs that wait, and the models that they were asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import Workshop
from app.launch import launch
from app.settings import Settings
from app.ui.visits import SOURCE
from tests.support.studios import job
from tests.support.workshops import machine


def test_jobs_of_a_model_that_was_chosen_on_the_page_go_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Workshop(tmp_path / "history", machine(), library=tmp_path / "subjects")
    before.offer("third")
    name = before.submit(job(), Sender(source=SOURCE), Asked(model="third")).id
    before.close()
    seen: list[tuple[str, str]] = []

    @contextmanager
    def served(workshop: Workshop, **_: Any) -> Iterator[Any]:
        workshop.start()
        waited: Any = SimpleNamespace(
            page="", wait=lambda: seen.append((workshop.wait(name, 60).state, workshop.queue.ticket(name).error or ""))
        )
        try:
            yield waited
        finally:
            workshop.close()

    monkeypatch.setattr("app.launch.serve", served)
    monkeypatch.setattr("app.launch.build_page", lambda *_: None)
    monkeypatch.setattr("app.launch.behind_door", lambda *_: None)
    settings = replace(Settings(), history=tmp_path / "history", library=tmp_path / "subjects")
    launch(machine(), settings, port=None, tell=lambda _text: None)
    assert seen == [("done", "")]
