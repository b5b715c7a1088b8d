"""The subject picker in a real browser: paste, the library's thumbnails, weights, and a cut-out that is corrected."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.metadata import read_metadata
from pipelines.subject_library import SubjectLibrary
from tests.browser.conftest import PATIENCE
from tests.support.painting import paint_left_of_the_middle
from tests.support.tiny_models import photo

pytestmark = pytest.mark.browser

PASTE = """async (bytes) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def rex(served: Any) -> str:
    """A card in the page's library."""
    library = SubjectLibrary(served.folder / "library")
    if "Rex" not in [entry.name for entry in library.entries()]:
        library.save(served.studio.card([SubjectPhoto(photo(2, (32, 32)), "hound")])[0], "Rex")
    return "Rex"


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """A photo of something at the right, on plain ground."""
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle((44, 8, 59, 55), fill="red")
    image.save(tmp_path / "post.png")
    return tmp_path / "post.png"


def field(page: Any, name: str) -> Any:
    return page.locator(f"#{name}").locator("textarea, input").first


def drawn(page: Any, served: Any, button: str = "generate") -> dict[str, Any]:
    """The metadata of the picture that a click draws."""
    before = set(served.kept("*.png"))
    page.locator(f"#{button}").click()
    for _ in range(PATIENCE // 100):
        new = set(served.kept("*.png")) - before
        if new and page.locator("#status").get_by_text("1 picture in").is_visible():
            return dict(read_metadata(new.pop()))
        page.wait_for_timeout(100)
    raise AssertionError(page.locator("#status").inner_text())


def layers(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_a_card_that_is_clicked_comes_to_the_photo_and_both_are_weighed(
    open_page: Callable[..., Any], served: Any, post: Path, rex: str
) -> None:
    page = open_page()
    page.locator("#subject input[type=file]").set_input_files(post)
    page.locator("#subjects img").wait_for()
    assert not page.locator("#weight-1").is_visible()
    page.get_by_role("tab", name="Library").first.click()
    page.locator("#shelf").get_by_text(rex).wait_for()
    field(page, "shelf-search").fill("nobody")
    page.locator("#shelf-note").get_by_text("No subject").wait_for()
    field(page, "shelf-search").fill("hound")
    page.locator("#shelf button img").click()
    page.locator("#subjects").get_by_text("card: hound").wait_for()
    assert page.locator("#weight-2").is_visible() and not page.locator("#weight-3").is_visible()
    field(page, "field-category").fill("dog")
    field(page, "field-count").fill("1")
    weight = page.locator("#weight-2 input[type=number]")
    weight.fill("0.25")
    weight.blur()
    field(page, "field-detail").fill("0.5")
    field(page, "field-detail").blur()
    kept = drawn(page, served)["job"]["inputs"]["subject"]
    assert [one["weight"] for one in kept] == [1.0, 0.25]


def test_a_picture_is_pasted_into_the_field_that_was_used_last(open_page: Callable[..., Any], dog: Path) -> None:
    page = open_page()
    page.evaluate(PASTE, list(dog.read_bytes()))
    page.locator("#subject").get_by_text("pasted", exact=False).first.wait_for()
    page.locator("#subjects img").wait_for()
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-photo").get_by_text("Drop Image Here").first.click(trial=True)
    page.locator("#edit-photo").dispatch_event("pointerdown")
    page.evaluate(PASTE, list(dog.read_bytes()))
    page.locator("#edit-photo img").wait_for()
    assert page.locator("#edit-subjects img").count() == 0


def test_what_is_painted_on_the_cut_out_is_what_details_are_read_from(
    open_page: Callable[..., Any], served: Any, post: Path
) -> None:
    page = open_page()
    page.locator("#subject input[type=file]").set_input_files(post)
    page.locator("#subjects img").wait_for()
    field(page, "field-category").fill("post")
    for name, value in (("count", "1"), ("detail", "0.5")):
        field(page, f"field-{name}").fill(value)
        field(page, f"field-{name}").blur()
    found = layers(drawn(page, served)["job"]["inputs"]["subject"][0]["cut_out"])
    page.locator("#cut-out button").first.click()
    page.locator("#cut-out-note").get_by_text("plain ground").wait_for()
    paint_left_of_the_middle(page, "cut-out-canvas")
    page.locator("#cut-out-look").click()
    corrected = layers(drawn(page, served)["job"]["inputs"]["subject"][0]["cut_out"])
    assert found.shape[1] < corrected.shape[1], "the stroke belongs to the subject now"
    row = corrected[corrected.shape[0] // 2, :, 3]
    assert row[0] > 128 and row[-1] > 128
    seen = page.locator("#cut-out-seen img").get_attribute("src")
    page.locator("#cut-out-again").click()
    page.wait_for_function("before => document.querySelector('#cut-out-seen img')?.src !== before", arg=seen)
    again = layers(drawn(page, served)["job"]["inputs"]["subject"][0]["cut_out"])
    assert again.shape == found.shape


def test_a_card_fills_the_first_free_place_of_a_scene_and_is_used_from_the_library(
    open_page: Callable[..., Any], rex: str
) -> None:
    from playwright.sync_api import expect

    page = open_page()
    page.get_by_role("tab", name="Scene").click()
    page.locator("#scene-from-library button").first.click()
    page.locator("#scene-shelf").get_by_text(rex).first.click()
    expect(field(page, "scene-word-C")).to_have_value("hound", timeout=PATIENCE)
    page.locator("#scene-photo-C img").wait_for()
    page.get_by_role("tab", name="Subjects").click()
    page.locator("#library-cards").get_by_text(rex).first.click()
    page.locator("#library-use-generate").click()
    page.locator("#subjects").get_by_text("card: hound").wait_for()
    page.wait_for_function(
        "document.querySelector('#field-category textarea, #field-category input').value === 'hound'"
    )


def test_an_example_is_drawn_with_one_click(open_page: Callable[..., Any], served: Any) -> None:
    page = open_page()
    page.locator("#field-count input[type=number]").fill("1")
    page.locator("#field-count input[type=number]").blur()
    asked = drawn(page, served, "try")["job"]["request"]
    assert (asked["category"], asked["prompt"]) == ("balloon", "on a grass field")
    assert not page.locator("#try").is_visible()
