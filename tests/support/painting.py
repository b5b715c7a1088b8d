"""A stroke on a canvas of the page, painted with the mouse."""

import re
from typing import Any

from tests.browser.conftest import PATIENCE

# The zoom moves for a while until the picture fits; a stroke painted meanwhile is as wide as the picture.
AT_REST = """(id) => {
  const zoom = document.getElementById(id).textContent.match(/\\d+%/)?.[0];
  const seen = (window.zooms ??= []);
  seen.push(zoom);
  return seen.length >= 10 && seen.slice(-10).every((one) => one === zoom);
}"""


def paint_left_of_the_middle(page: Any, canvas_id: str) -> None:
    """Paints once the editor has fitted the picture into its frame; the stroke is taken when this returns."""
    from playwright.sync_api import expect

    canvas = page.locator(f"#{canvas_id}")
    expect(canvas.get_by_text(re.compile(r"^\s*(?!100%)\d+%\s*$"))).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("!document.documentElement.classList.contains('canvases-wait')")
    page.wait_for_function(AT_REST, arg=canvas_id, polling=100)
    box = canvas.locator("canvas").first.bounding_box()
    left, middle = box["x"] + box["width"] / 2 - 60, box["y"] + box["height"] / 2
    page.mouse.move(left, middle)
    page.mouse.down()
    for along in range(0, 40, 4):
        page.mouse.move(left + along, middle)
    page.mouse.up()
    expect(canvas.get_by_role("button", name="Undo")).to_be_enabled(timeout=PATIENCE)
