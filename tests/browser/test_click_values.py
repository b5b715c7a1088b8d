"""A click asks for what stood in the fields when it was made, however late it is sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.metadata import read_metadata
from tests.support.tiny_models import photo

pytestmark = pytest.mark.browser

HELD_UPLOADS = """(() => {  // a chosen file arrives when the test says so
    const plain = window.fetch;
    const arrival = new Promise(resolve => { window.arrive = resolve; });
    window.fetch = async (target, options) => {
        if (String(target).includes("/upload?")) await arrival;
        return plain(target, options);
    };
})()"""


def field(page: Any, name: str) -> Any:
    return page.locator(f"#{name}").locator("textarea, input").first


@pytest.fixture
def waiting_page(open_page: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """waiting_page("lake"): the tab that edits, where Edit is clicked while the photo lake.png is on its way."""

    def clicked(name: str) -> Any:
        photo(3, (40, 24)).save(tmp_path / f"{name}.png")
        page = open_page(before=HELD_UPLOADS)
        page.get_by_role("tab", name="Edit").click()
        field(page, "edit-sentence").fill("a dog on a beach")
        page.locator("#edit-words label").filter(has_text="dog").wait_for()
        page.locator("#edit-photo input[type=file]").set_input_files(tmp_path / f"{name}.png")
        page.locator("#edit-draw").click()
        page.locator("#edit-draw[aria-busy]").wait_for()
        return page

    return clicked


def test_what_is_changed_after_a_click_is_left_to_the_next_one(waiting_page: Callable[[str], Any], served: Any) -> None:
    page = waiting_page("lake")
    page.locator("#edit-words label").filter(has_text="dog").locator("input").check()
    page.evaluate("arrive()")
    page.locator("#edit-status").get_by_text("Click on the words that").wait_for()
    assert served.kept("*-lake*.png") == []
    field(page, "edit-instead").fill("tiger")
    page.locator("#edit-draw").click()
    page.get_by_text("dog-to-tiger-lake.png.").wait_for()


def test_of_several_clicks_that_wait_the_last_one_is_asked_for(waiting_page: Callable[[str], Any], served: Any) -> None:
    page = waiting_page("pond")
    page.locator("#edit-words label").filter(has_text="dog").locator("input").check()
    field(page, "edit-instead").fill("tiger")
    page.locator("#edit-draw").click()
    field(page, "edit-instead").fill("wolf")
    field(page, "edit-sentence").fill("a cat")  # no word of it is clicked on
    page.locator("#edit-words label").filter(has_text="cat").wait_for()
    page.evaluate("arrive()")
    page.get_by_text("dog-to-tiger-pond.png.").wait_for()
    [path] = served.kept("dog-to-tiger-pond.png")
    asked = read_metadata(path)["job"]["request"]
    assert (asked["source"], asked["target"], asked["prompt"]) == ("dog", "tiger", "on a beach")
    assert field(page, "edit-instead").input_value() == "wolf"
    assert field(page, "edit-sentence").input_value() == "a cat"


def test_clicks_that_save_are_all_kept_each_with_its_own_values(open_page: Callable[..., Any], dog: Path) -> None:
    page = open_page(before=HELD_UPLOADS)
    page.get_by_role("tab", name="Subjects").click()
    field(page, "library-category").fill("dog")
    page.locator("#library-subject input[type=file]").set_input_files(dog)
    for name in ("bella", "luna"):
        field(page, "library-name").fill(name)
        page.locator("#library-save").click()
    field(page, "library-name").fill("nobody")
    page.evaluate("arrive()")
    for name in ("bella", "luna"):
        page.locator("#library-cards").get_by_text(name).wait_for()
    assert page.locator("#library-cards").get_by_text("nobody").count() == 0
