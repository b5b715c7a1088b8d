"""A page whose history has a picture of each task, for a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.studio import Studio
from tests.browser.conftest import PATIENCE, UNHEARD
from tests.support.histories import drawn_in, job_of_each_task
from tests.support.history_page import NO_TEXTURE, Place
from tests.support.pages import served_page
from tests.support.tiny_models import tiny_model


@pytest.fixture
def place(browser: Any, tmp_path: Path) -> Iterator[Place]:
    studio = Studio(tiny_model())
    with served_page(studio, tmp_path) as running:
        names = drawn_in(running.workshop, job_of_each_task(tmp_path / "net"))
        complaints: list[str] = []

        def visit() -> Any:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
            page.add_init_script(UNHEARD)
            page.set_default_timeout(PATIENCE)
            page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
            page.on("response", lambda one: complaints.append(f"{one.status} {one.url}") if one.status >= 400 else None)
            page.goto(running.page, wait_until="domcontentloaded")
            return page

        made = Place(visit, running.workshop, names)
        yield made
        made.page.close()
        assert [one for one in complaints if one != NO_TEXTURE] == []
