"""What was asked for outlives reloads, closed pages and killed servers; what waits can be cancelled and moved."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.page_program import HOLD
from tests.browser.test_generate_page import ask, fill, status

pytestmark = pytest.mark.browser

STEP = re.compile(r"Step \d+ of")


def line(page: Any, text: str) -> Any:
    """A row of the browser's jobs."""
    return page.locator("#line li").filter(has_text=text)


def click_generate(page: Any, prompt: str) -> None:
    fill(page, "prompt", prompt)
    page.locator("#generate").click()
    line(page, prompt).wait_for()


def test_what_waits_is_listed_moved_up_and_cancelled(open_page: Callable[..., Any], dog: Path) -> None:
    page = open_page()
    ask(page, dog, steps=900, count=64)
    status(page, STEP)
    click_generate(page, "the second")
    click_generate(page, "the third")
    line(page, "place 2").filter(has_text="the third").wait_for()
    line(page, "the third").get_by_role("button", name="Move up").click()
    line(page, "place 1").filter(has_text="the third").wait_for()
    line(page, "the second").get_by_role("button", name="Cancel").click()
    line(page, "the second").wait_for(state="detached")
    line(page, "the third").get_by_role("button", name="Cancel").click()
    line(page, "the third").wait_for(state="detached")
    page.locator("#cancel").click()
    status(page, "Cancelled after step")
    page.locator("#line li").wait_for(state="detached")


def test_a_page_that_is_reloaded_or_opened_again_finds_its_job_and_its_pictures(
    open_page: Callable[..., Any], dog: Path
) -> None:
    page = open_page()
    ask(page, dog, steps=2, count=2)
    status(page, "2 pictures in")
    fill(page, "steps", 900)
    fill(page, "count", 64)  # for longer than the page takes to come back
    page.locator("#generate").click()
    status(page, STEP)
    page.reload(wait_until="domcontentloaded")
    status(page, STEP)
    page.locator("#stage .previews img").first.wait_for()
    page.locator("#gallery img").nth(1).wait_for()
    page.close()
    again = open_page()
    status(again, STEP)
    again.locator("#stage .previews img").first.wait_for()
    again.locator("#cancel").click()
    status(again, "Cancelled after step")
    again.locator("#gallery img").nth(1).wait_for()


def started(folder: Path, port: int) -> subprocess.Popen[str]:
    """The page as a program of its own, once it is there."""
    program = [sys.executable, "-m", "tests.browser.page_program", str(folder), str(port)]
    made = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None and "http" in made.stdout.readline()
    return made


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[list[subprocess.Popen[str]], int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [started(tmp_path / "served", port)]
    yield running, port
    for one in running:
        one.kill()
        one.wait()


def test_a_killed_server_goes_on_and_so_does_its_page(
    browser: Any, program: tuple[list[subprocess.Popen[str]], int], dog: Path, tmp_path: Path
) -> None:
    running, port = program
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{port}/", wait_until="domcontentloaded")
    page.locator("#generate").wait_for()
    ask(page, dog, steps=2, count=1)
    status(page, "1 picture in")
    fill(page, "steps", 20)
    hold = tmp_path / "served" / HOLD
    hold.touch()
    click_generate(page, "drawn when it dies")
    status(page, STEP)
    click_generate(page, "waiting when it dies")
    line(page, "waiting when it dies").filter(has_text="place 1").wait_for()
    page.locator("#field-prompt textarea").press_sequentially("!")  # as a person types: what is filled in is not kept
    running[0].kill()
    running[0].wait()
    page.get_by_text("The server has ended").wait_for()
    running.append(started(tmp_path / "served", port))
    status(page, STEP)  # the page has come back by itself, and what was begun is drawn
    hold.unlink()
    page.locator("#gallery img").nth(2).wait_for()
    assert page.locator("#field-prompt textarea").input_value() == "waiting when it dies!"
    page.locator("#line li").wait_for(state="detached")
    context.close()
