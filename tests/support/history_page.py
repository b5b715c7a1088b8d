"""A page whose history has a picture of each task, in a real browser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.jobs.workshop import Workshop
from tests.browser.conftest import PATIENCE

NO_TEXTURE = "No draw texture found for layer"  # Gradio's canvas, whose picture is another one before it is seen


@dataclass
class Place:
    """A page whose history has a picture of each task."""

    visit: Callable[[], Any]  # gives a new page
    workshop: Workshop
    names: dict[str, str]  # of the pictures by their tasks

    def __post_init__(self) -> None:
        self.page = self.visit()
        self._begin()

    def begin_again(self) -> None:
        """A new visit: each tab that was opened before makes all that follows slower."""
        self.page.close()
        self.page = self.visit()
        self._begin()

    def _begin(self) -> None:
        self.page.locator("#generate").wait_for()
        self.page.get_by_role("tab", name="History").click()
        self.page.locator(".tiles li").nth(len(self.names) - 1).wait_for()

    def tile(self, task: str) -> Any:
        return self.page.locator(f'.tiles li[data-id="{self.names[task]}"]')

    def open(self, task: str) -> Any:
        """The dialog with a picture."""
        self.page.get_by_role("tab", name="History").click()
        self.tile(task).locator(".picture").click()
        self.dialog.locator(f'[data-id="{self.names[task]}"]').wait_for()
        return self.dialog

    @property
    def dialog(self) -> Any:
        return self.page.locator("#history-dialog[open]")

    def button(self, name: str) -> Any:
        return self.page.locator("#history-view").get_by_role("button", name=name, exact=True)

    def told(self, text: str) -> Any:
        found = self.page.locator("#history-view .told").get_by_text(text)
        found.wait_for()
        return found


def expecting() -> Any:
    """What waits until something holds, as long as the tests of a busy machine may."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect
