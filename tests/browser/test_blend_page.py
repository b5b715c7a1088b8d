"""Blending and scenes in a real browser: the pad, a path that plays, boxes that are dragged, the library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Served
from tests.browser.test_generate_page import keep

pytestmark = pytest.mark.browser


def field(page: Any, name: str) -> Any:
    return page.locator(f"#{name} textarea, #{name} input").first


def told(page: Any, name: str, words: str) -> None:
    page.locator(f"#{name}", has_text=words).wait_for()


def test_the_pad_sets_the_weights_and_a_path_is_drawn_and_plays(open_page: Callable[..., Any], served: Served) -> None:
    page = open_page()
    page.get_by_role("tab", name="Blend").click()
    page.locator("#blend-settings button").first.click()
    keep(page, "blend-steps", 2)
    keep(page, "blend-frames", 4)
    page.locator("#blend-pad").click(position={"x": 45, "y": 5})
    told(page, "blend-status", "A preview in 2 steps.")
    page.wait_for_function("() => +document.querySelector('#blend-w-A input').value > 0.7")
    page.locator("#blend-path").click()
    told(page, "blend-status", "4 pictures in")
    assert page.locator("#blend-stage img").get_attribute("src").startswith("data:image/webp")
    assert len(served.kept("balloon-coffee-0-?.png")) == 4
    [sheets] = {path.parent for path in (served.folder / "history").rglob("film.*")}
    assert {path.name for path in sheets.iterdir()} == {"grid.png", "film.webp"}
    page.locator("#blend-files tr.file").nth(1).wait_for()


def test_boxes_are_dragged_and_subjects_come_from_the_library(open_page: Callable[..., Any], served: Served) -> None:
    page = open_page()
    page.get_by_role("tab", name="Subjects").click()
    page.locator("#library-subject input[type=file]").set_input_files(
        Path(__file__).parents[2] / "blipdiff" / "assets" / "subjects" / "tractor.png"
    )
    field(page, "library-category").fill("tractor")
    field(page, "library-name").fill("Green one")
    page.locator("#library-save").click()
    told(page, "library-status", "Saved as 'Green one'.")
    page.get_by_role("tab", name="Scene").click()
    page.locator("#scene-from-library button").first.click()
    page.locator("#scene-shelf-to").get_by_label("A", exact=True).check()
    page.locator("#scene-shelf").get_by_text("Green one").first.click()
    page.wait_for_function(
        "() => document.querySelector('#scene-word-A').querySelector('input, textarea').value === 'tractor'"
    )
    field(page, "scene-prompt").fill("a {tractor} and a {coffee}")
    box = page.locator("#scene-canvas .box.B")
    box.focus()
    page.keyboard.press("ArrowLeft")
    page.locator("#scene-draw").click()
    told(page, "scene-status", "'tractor' and 'coffee' overlap")
    page.keyboard.press("Tab")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.locator("#scene-draw").click()
    told(page, "scene-status", "1 picture in")
    cut = "frame => frame.scrollHeight - frame.clientHeight > 1"
    page.locator("#scene-gallery img").first.wait_for()
    assert not page.locator("#scene-gallery .grid-wrap").evaluate(cut)
