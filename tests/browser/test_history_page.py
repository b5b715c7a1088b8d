"""The history in a real browser: looked through, compared, recalled, sent on, taken away and brought back."""

import base64
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.jobs.projects import opened_project
from pipelines.metadata import read_metadata
from tests.support.history_page import Place, expecting
from tests.support.tiny_models import photo

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.support.history_fixtures"]

RECALLED = re.compile("The form is as it was|The map is ready")  # a structure's map is drawn at once
DROP = """([name, type, data]) => {
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(data), one => one.charCodeAt(0))], name, { type }));
    for (const kind of ["dragover", "drop"]) {
        document.querySelector(".masthead").dispatchEvent(
            new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
    }
}"""


def drop(page: Any, path: Path, kind: str = "image/png") -> None:
    """A file is dropped beside all fields."""
    page.evaluate(DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])


def test_pictures_are_found_marked_compared_packed_and_thrown_away(place: Place, tmp_path: Path) -> None:
    expect, page, tiles = expecting(), place.page, place.page.locator(".tiles li")
    count = len(place.names)
    expect(tiles).to_have_count(count)
    search = page.get_by_role("searchbox")
    search.fill("snow redraw")
    expect(tiles).to_have_count(1)
    assert search.input_value() == "snow redraw"
    search.fill("nothing at all")
    place.button("Show everything").click()
    expect(tiles).to_have_count(count)
    page.get_by_label("Task").select_option("scene")
    expect(tiles).to_have_count(1)
    page.get_by_label("Task").select_option("")
    place.button("By subject").click()
    page.locator(".strip button").filter(has_text="dog + cat").first.click()
    expect(tiles).to_have_count(2)
    place.button("All").click()
    expect(tiles).to_have_count(count)

    place.tile("edit").hover()
    place.tile("edit").locator(".star").click()
    page.get_by_label("Favourites", exact=True).check()
    expect(tiles).to_have_count(1)
    page.get_by_label("Favourites", exact=True).uncheck()
    expect(tiles).to_have_count(count)

    tiles.nth(0).locator(".picture").click(modifiers=["Control"])
    tiles.nth(2).locator(".picture").click(modifiers=["Shift"])
    expect(page.locator(".tools .chosen")).to_have_text("3 chosen")
    tiles.nth(1).locator(".choose").uncheck()
    place.button("Compare two").click()
    page.locator("#history-compared img").first.wait_for()
    place.button("Close the comparison").click()
    expect(page.locator("#history-compared img")).to_have_count(0)
    with page.expect_download() as packed:
        page.get_by_role("button", name="Download the chosen pictures as a zip").click()
    packed.value.save_as(tmp_path / "pictures.zip")
    assert len(zipfile.ZipFile(tmp_path / "pictures.zip").namelist()) == 2

    page.get_by_role("button", name="Put the chosen pictures into the bin").click()
    expect(tiles).to_have_count(count - 2)
    place.button("Undo").click()
    expect(tiles).to_have_count(count)
    tiles.nth(0).locator(".picture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    expect(tiles).to_have_count(count - 1)
    place.button("Bin (1)").click()
    expect(tiles).to_have_count(1)
    place.button("Empty the bin").click()
    place.button("Remove them for good").click()
    place.told("1 picture removed.")
    assert len(place.workshop.history) == count - 1


def test_every_tasks_picture_is_recalled_from_its_button(place: Place) -> None:
    expect = expecting()
    for number, task in enumerate([*(name for name in place.names if name != "scene"), "scene"]):
        if number and number % 3 == 0:
            place.begin_again()
        place.open(task).get_by_role("button", name="Everything").click()
        status = place.page.locator("#status" if task == "generate" else f"#{task}-status")
        expect(status).to_contain_text(RECALLED)
        expect(status).to_be_visible()  # its tab is open
    page = place.page
    typed = page.locator("#scene-prompt").locator("textarea, input").first
    expect(typed).to_have_value("a {dog} and a {cat} on a beach")
    typed.fill("another one")
    page.locator("#scene-settings").get_by_role("button").first.click()
    seed = page.locator("#scene-seed").locator("textarea, input").first
    seed.fill("3")
    place.open("scene").get_by_role("button", name="Only the seed").click()
    expect(seed).to_have_value("7")
    expect(typed).to_have_value("another one")
    place.open("scene").get_by_role("button", name="Only the prompt").click()
    expect(typed).to_have_value("a {dog} and a {cat} on a beach")


def test_the_large_picture_by_keys_and_what_is_drawn_of_it(place: Place) -> None:
    expect, page, history = expecting(), place.page, place.workshop.history
    dialog = place.open("upscale")
    page.keyboard.press("ArrowRight")
    dialog.locator(f'[data-id="{place.names["scene"]}"]').wait_for()
    page.keyboard.press("f")
    expect(dialog.locator(".star")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    dialog.locator(f'[data-id="{place.names["upscale"]}"]').wait_for()
    with page.expect_download() as whole:
        dialog.get_by_role("link", name="Download PNG").click()
    assert read_metadata(whole.value.path())["seed"] == 7
    page.keyboard.press("Escape")
    expect(page.locator("#history-dialog")).to_be_hidden()

    dialog, count = place.open("generate"), len(history)
    dialog.get_by_role("button", name="Vary a little").click()
    dialog.locator(".told").get_by_text("Asked for").wait_for()
    dialog.get_by_role("button", name="Another seed").click()
    page.keyboard.press("Escape")
    expect(page.locator(".tiles li")).to_have_count(count + 5)  # without a click

    place.open("generate").locator("[data-act=send][data-to=upscale][data-kind=picture]").click()
    expect(page.locator("#upscale-picture img")).to_be_visible()
    place.open("generate").locator("[data-act=send][data-to=stylize][data-kind=structure]").click()
    expect(page.locator("#stylize-structure img").first).to_be_visible()
    place.open("generate").locator("[data-act=send][data-to=generate][data-kind=subject]").click()
    expect(page.locator("#subject-tiles img, .subjects img").locator("visible=true").first).to_be_visible()


def test_what_is_dropped_anywhere_is_recalled_offered_or_opened(place: Place, tmp_path: Path) -> None:
    expect, page, history = expecting(), place.page, place.workshop.history
    drop(page, history.file(history.entry(place.names["scene"])))
    expect(page.locator("#scene-prompt").locator("textarea, input").first).to_have_value(
        "a {dog} and a {cat} on a beach"
    )
    photo(5).save(tmp_path / "cat.png")
    drop(page, tmp_path / "cat.png")
    offered = page.get_by_role("dialog", name="cat.png")
    offered.locator("[data-to=edit][data-kind=picture]").click()
    expect(page.locator("#edit-photo img").first).to_be_visible()
    expect(offered).to_have_count(0)

    page.get_by_role("tab", name="History").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the chosen pictures as a project").click()
    project = tmp_path / "mine.blipdiff"
    saved.value.save_as(project)
    with opened_project(project) as opened:
        assert len([name for name in opened.pictures if name.count(".") == 1]) == len(place.names)
    history.throw_away(place.names.values())
    history.empty_bin()
    expect(page.get_by_text("Everything that is drawn will be here.")).to_be_visible()
    page.locator("#dropped-file input[type=file]").set_input_files(project)
    expect(page.locator(".tiles li")).to_have_count(len(place.names))
    (tmp_path / "broken.blipdiff").write_bytes(b"no zip")
    drop(page, tmp_path / "broken.blipdiff", "")
    page.get_by_text("is no project file, or it is damaged").wait_for()
