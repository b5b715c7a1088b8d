"""The page's keys and manners in a real browser: a walk over Create as somebody takes it who does not use the mouse."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.ui.keys import KEYS
from tests.browser.test_generate_page import keep

pytestmark = pytest.mark.browser

SEED = "document.querySelector('#gallery .caption-label')?.textContent"
SHOWN = "document.querySelector('#gallery .thumbnails .selected')?.getAttribute('aria-label')"


def test_keys_draw_roll_and_look_through_pictures_and_leave_fields_alone(
    open_page: Callable[..., Any], dog: Path
) -> None:
    page = open_page()
    prompt, bar = page.locator("#field-prompt"), page.locator(".actions").locator("visible=true")
    below = prompt.bounding_box()
    assert below["y"] + below["height"] <= bar.bounding_box()["y"], "the prompt is in sight as the page opens"
    page.keyboard.press("?")
    page.locator("#keys dialog").wait_for()
    assert page.locator("#keys kbd").all_inner_texts() == [one.shown for one in KEYS]
    page.keyboard.press("Escape")
    page.locator("#keys dialog").wait_for(state="hidden")

    page.keyboard.press("Control+Enter")
    told = page.locator("#status").get_by_text("There is no subject yet")
    told.wait_for()  # the photo is the first thing on the form, and so the first that is asked for
    page.locator("#subject input[type=file]").set_input_files(dog)
    told.wait_for(state="hidden")
    page.locator("#subjects img").wait_for()
    for name, text in (("category", "dog"), ("prompt", "r? ")):
        field = page.locator(f"#field-{name}").locator("textarea, input").first
        field.press_sequentially(text)
        assert field.input_value() == text
    page.locator("#field-count input").first.fill("2")
    page.locator("#field-count input").first.blur()
    assert not page.locator("#keys dialog").is_visible()

    page.keyboard.press("Control+Enter")
    page.locator("#status").get_by_text("2 pictures in").wait_for()
    page.locator("#gallery img").nth(1).wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{SHOWN} === 'Thumbnail 1 of 2'")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{SHOWN} === 'Thumbnail 2 of 2'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{SHOWN} === 'Thumbnail 1 of 2'")
    page.keyboard.press("Escape")
    page.locator("#gallery .preview").wait_for(state="detached")

    page.locator("#settings > button").click()
    page.locator("#random-seed input").uncheck()
    page.locator("#settings > button").click()
    before = page.evaluate(SEED)
    page.keyboard.press("r")
    page.wait_for_function(f"document.querySelectorAll('#gallery .gallery-item').length === 4 && {SEED} !== '{before}'")

    page.locator("#settings > button").click()
    keep(page, "field-steps", 600)
    page.keyboard.press("Control+Enter")
    page.locator("#status").get_by_text(re.compile(r"Step \d+ of")).wait_for()
    page.keyboard.press("Escape")
    page.locator("#status").get_by_text("Cancelled after step").wait_for()
