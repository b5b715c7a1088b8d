"""Editing in a real browser: from a photo and a clicked word, or a painted place, to before and after."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.metadata import read_metadata
from tests.support.painting import paint_left_of_the_middle
from tests.support.tiny_models import photo

pytestmark = pytest.mark.browser

PLACES = """() => [...document.querySelectorAll("#edit-slider img")].map((image) => {
  const { x, y, width, height } = image.getBoundingClientRect();
  return [x, y, width, height].map(Math.round).concat(getComputedStyle(image).objectFit);
})"""


def painted_on(page: Any) -> int:
    """White pixels in the middle of the canvas, as it is seen."""
    canvas = page.locator("#edit-canvas canvas").first
    canvas.evaluate("one => one.scrollIntoView({ block: 'center' })")  # nothing of it below the bar of buttons
    seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("L"))
    height, width = seen.shape
    return int((seen[height // 3 : -height // 3, width // 4 : -width // 4] >= 254).sum())


def test_a_word_clicked_in_the_sentence_is_swapped_in_the_photo(
    open_page: Callable[..., Any], served: Any, dog: Path, tmp_path: Path
) -> None:
    photo(3, (40, 24)).save(tmp_path / "scene.png")
    page = open_page()
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-photo input[type=file]").set_input_files(tmp_path / "scene.png")
    page.locator("#edit-photo img").wait_for()
    page.locator("#edit-sentence textarea").fill("a dog on a beach")
    word = page.locator("#edit-words label").filter(has_text="dog")
    word.wait_for()
    page.locator("#edit-draw").click()
    page.locator("#edit-status").get_by_text("Click on the words that").wait_for()
    word.locator("input").check()
    page.locator("#edit-instead textarea, #edit-instead input").first.fill("tiger")
    page.locator("#edit-subject input[type=file]").set_input_files(dog)
    page.locator("#edit-subject").get_by_label("dog.png").wait_for()  # its text is the bar's, for a moment
    page.locator("#edit-draw").click()
    page.get_by_text("Saved as").wait_for()
    page.locator("#edit-slider img").nth(1).wait_for()
    before, after = page.evaluate(PLACES)
    assert before == after, "what is compared lies one over the other"
    [path] = served.kept("dog-to-tiger-scene.png")
    asked = read_metadata(path)["job"]["request"]
    assert (asked["source"], asked["target"], asked["prompt"]) == ("dog", "tiger", "on a beach")
    assert Image.open(path).size == (40, 24)


def test_what_is_painted_on_the_photo_is_where_the_edit_may_happen(
    open_page: Callable[..., Any], served: Any, tmp_path: Path
) -> None:
    photo(4, (64, 64)).save(tmp_path / "garden.png")
    page = open_page()
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-photo input[type=file]").set_input_files(tmp_path / "garden.png")
    page.locator("#edit-photo img").wait_for()
    page.locator("#edit-sentence textarea").fill("a dog in a garden")
    word = page.locator("#edit-words label").filter(has_text="dog")
    word.wait_for()
    word.locator("input").check()
    page.locator("#edit-instead textarea, #edit-instead input").first.fill("tiger")
    page.get_by_text("Paint where the edit may happen").click()
    paint_left_of_the_middle(page, "edit-canvas")
    page.locator("#edit-draw").click()
    page.get_by_text("Saved as").wait_for()
    [path] = served.kept("dog-to-tiger-garden.png")
    [kept] = read_metadata(path)["job"]["inputs"]["mask"]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(kept["picture"]))).convert("L"))
    assert mask.shape == (64, 64)
    columns = np.flatnonzero(mask.max(axis=0) > 128)
    assert 0 < len(columns) < 60, "a stroke, not the whole picture"
    assert columns.mean() < 40

    white = painted_on(page)
    page.reload(wait_until="domcontentloaded")
    page.get_by_role("tab", name="History").click()
    page.locator(".tiles li .picture").first.click()
    page.locator("#history-dialog[open]").get_by_role("button", name="Everything").click()
    page.locator("#edit-status").get_by_text("The form is as it was").wait_for()
    page.locator("#edit-canvas canvas").first.wait_for()  # unfolded, so that what was painted is in sight
    for _ in range(60):
        if abs(painted_on(page) - white) < white / 10:
            break
        page.wait_for_timeout(500)
    else:
        raise AssertionError("the stroke is not seen again")
    page.locator("#edit-draw").click()
    page.get_by_text("Saved as").wait_for()
    one, other = (Image.open(drawn).tobytes() for drawn in served.kept("dog-to-tiger-garden.png"))
    assert one == other


def test_nothing_is_painted_while_what_the_canvas_shows_is_on_its_way(
    open_page: Callable[..., Any],
) -> None:
    """Gradio writes it back when it has arrived, over whatever was painted meanwhile."""
    held = """(() => {
        const plain = window.fetch;
        window.fetch = (target, options) => String(target).endsWith("/upload")
            ? new Promise(resolve => { window.arrive = () => resolve(new Response("[]")); })
            : plain(target, options);
    })()"""
    page = open_page(before=held)
    page.get_by_role("tab", name="Edit").click()
    page.get_by_text("Paint where the edit may happen").click()
    page.locator("#edit-canvas canvas").first.wait_for()
    events = "getComputedStyle(document.querySelector('#edit-canvas canvas')).pointerEvents"
    usual = page.evaluate(events)
    assert usual != "none"
    page.evaluate("() => { fetch('/gradio_api/upload', { method: 'POST' }); }")
    assert page.evaluate(events) == "none"
    page.evaluate("arrive()")
    page.wait_for_function(f"{events} === '{usual}'")
