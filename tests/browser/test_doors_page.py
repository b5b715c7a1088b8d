"""The page in a browser that has to show a token or a password, and what foreign text cannot do there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.doors.access import Access
from app.doors.credentials import Credentials
from app.server import Running
from pipelines.studio import Studio
from tests.support.pages import served_page
from tests.support.tiny_models import tiny_model

pytestmark = pytest.mark.browser

TOKEN, USER, PASSWORD = "0123456789-abcdefgh", "anna", "a good password"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    access = Access(credentials=Credentials(f"{USER}:{PASSWORD}", TOKEN))
    with served_page(Studio(tiny_model()), tmp_path_factory.mktemp("locked"), access) as running:
        yield running


def uses_the_page(page: Any, dog: Path) -> None:
    """Uploads a photo and is answered: uploads, requests and streams all come through."""
    page.set_default_timeout(60_000)
    page.locator("#generate").wait_for()
    page.locator("#field-category textarea, #field-category input").first.fill("dog")
    page.locator("#subject input[type=file]").set_input_files(dog)
    page.locator("ul.subjects img").first.wait_for()


def test_a_browser_with_the_token_in_its_address_uses_the_page(browser: Any, locked: Running, dog: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{locked.page}?token={TOKEN}", wait_until="domcontentloaded")
    assert TOKEN not in page.url
    uses_the_page(page, dog)
    context.close()


def test_a_browser_that_asks_for_the_password_uses_the_page(browser: Any, locked: Running, dog: Path) -> None:
    context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})
    page = context.new_page()
    page.goto(locked.page, wait_until="domcontentloaded")
    uses_the_page(page, dog)
    context.close()


def test_html_that_came_into_the_page_runs_nothing_and_fetches_nothing(browser: Any, locked: Running) -> None:
    context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(locked.page, wait_until="domcontentloaded")
    page.locator("#generate").wait_for(timeout=60_000)
    hostile = "<img src='data:,x' onerror='window.ran = 1'><img id='far' src='http://example.invalid/a.png'>"
    with page.expect_console_message(lambda told: "example.invalid" in told.text):
        page.evaluate("html => { document.body.insertAdjacentHTML('beforeend', html) }", hostile)
    page.wait_for_function("document.querySelector('#far').complete")
    assert page.evaluate("window.ran") is None
    context.close()
