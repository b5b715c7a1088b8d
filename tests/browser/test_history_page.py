"""The history in a real browser: looked through, compared, recalled, sent on, taken away and brought back."""

import base64
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from app.jobs.history import History
from app.jobs.projects import opened_project
from app.jobs.workshop import Workshop
from app.ui.history import acts
from app.ui.history.look import Look
from app.ui.room import Room
from pipelines.metadata import read_metadata
from pipelines.studio import Studio
from tests.browser.conftest import PATIENCE, UNHEARD
from tests.support.histories import drawn_in, job_of_each_task
from tests.support.pages import served_page
from tests.support.tiny_models import photo, tiny_model

pytestmark = pytest.mark.browser

NO_TEXTURE = "No draw texture found for layer"  # Gradio's canvas, whose picture is another one before it is seen
RECALLED = re.compile("The form is as it was|The map is ready")  # a structure's map is drawn at once
DROP = """([name, type, data]) => {
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(data), one => one.charCodeAt(0))], name, { type }));
    for (const kind of ["dragover", "drop"]) {
        document.querySelector(".masthead").dispatchEvent(
            new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
    }
}"""


@dataclass
class Place:
    """A page whose history has a picture of each task."""

    page: Any
    workshop: Workshop
    names: dict[str, str]  # of the pictures by their tasks

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


@pytest.fixture
def place(browser: Any, tmp_path: Path) -> Iterator[Place]:
    studio = Studio(tiny_model())
    with served_page(studio, tmp_path) as running:
        names = drawn_in(running.workshop, job_of_each_task(tmp_path / "net"))
        complaints: list[str] = []
        page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        page.add_init_script(UNHEARD)
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.on("response", lambda one: complaints.append(f"{one.status} {one.url}") if one.status >= 400 else None)
        page.goto(running.page, wait_until="domcontentloaded")
        page.locator("#generate").wait_for()
        page.get_by_role("tab", name="History").click()
        page.locator(".tiles li").nth(len(names) - 1).wait_for()
        yield Place(page, running.workshop, names)
        page.close()
        assert [one for one in complaints if one != NO_TEXTURE] == []


def expecting() -> Any:
    """What waits until something holds, as long as the tests of a busy machine may."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect


def drop(page: Any, path: Path, kind: str = "image/png") -> None:
    """A file is dropped beside all fields."""
    page.evaluate(DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])


def test_a_click_before_the_answer_to_another_one_adds_to_it(place: Place) -> None:
    expect, page, tiles = expecting(), place.page, place.page.locator(".tiles li")
    page.get_by_label("Task").select_option("scene")
    expect(tiles).to_have_count(1)
    page.evaluate(
        """() => {
            const all = document.querySelector("#history-view [name=task]");
            all.value = "";
            all.dispatchEvent(new Event("change", { bubbles: true }));
            return new Promise((resolve) => setTimeout(() => {
                document.querySelector("#history-view [data-by=subject]").click();
                resolve();
            }, 1));
        }"""
    )
    expect(place.button("By subject")).to_have_attribute("aria-pressed", "true")
    expect(tiles).to_have_count(len(place.names))


def test_a_click_whose_answer_is_lost_is_asked_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    expect, page, tiles = expecting(), place.page, place.page.locator(".tiles li")
    lost, seen = list[Look](), acts.shown

    def overtaken(history: History, look: Look, *told: Any) -> str:
        if look.by == "subject" and not lost:
            lost.append(look)
            look = replace(look, by="day")
        return seen(history, look, *told)

    monkeypatch.setattr(acts, "shown", overtaken)
    page.get_by_label("Task").select_option("scene")
    expect(tiles).to_have_count(1)
    place.button("By subject").click()
    expect(place.button("By subject")).to_have_attribute("aria-pressed", "true")
    assert lost
    expect(tiles).to_have_count(1)


OLDER_LAST = """() => {
    const view = document.querySelector("#history-view .history").parentElement.cloneNode(true);
    document.querySelector("#history-view").append(view);
    const asked = [];
    let settle = null;
    blipdiff.history(view, (_kind, data) => asked.push(data.look.by), (_name, then) => { settle = then; });
    const comes = (by) => {
        const root = view.querySelector(".history");
        root.dataset.look = JSON.stringify({ ...JSON.parse(root.dataset.look), by });
        settle();
    };
    view.querySelector("[data-by=subject]").click();
    comes("subject");
    const before = asked.length;
    comes("day");
    const after = asked.length;
    comes("subject");
    return [before, asked.slice(before), asked.length - after];
}"""


def test_an_older_answer_that_is_shown_last_is_asked_for_anew(place: Place) -> None:
    assert place.page.evaluate(OLDER_LAST) == [1, ["subject"], 0]


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


def test_a_tab_that_is_opened_before_an_answer_comes_stays_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    expect, page, asked, goes_on = expecting(), place.page, Event(), Event()
    recalled = Room.recall_changes

    def waiting(self: Room, *given: Any) -> Any:
        asked.set()
        goes_on.wait(PATIENCE / 1000)
        return recalled(self, *given)

    monkeypatch.setattr(Room, "recall_changes", waiting)
    place.open("generate").get_by_role("button", name="Everything").click()
    assert asked.wait(PATIENCE / 1000)
    settings = page.get_by_role("tab", name="Settings")
    settings.click()
    goes_on.set()
    expect(page.locator("#status")).to_contain_text(RECALLED)
    expect(settings).to_have_attribute("aria-selected", "true")
    place.open("generate").get_by_role("button", name="Everything").click()
    expect(page.locator("#generate")).to_be_visible()


def test_every_tasks_picture_is_recalled_from_its_button(place: Place) -> None:
    expect, page = expecting(), place.page
    for task in [*(name for name in place.names if name != "scene"), "scene"]:
        place.open(task).get_by_role("button", name="Everything").click()
        status = "#status" if task == "generate" else f"#{task}-status"
        expect(page.locator(status)).to_contain_text(RECALLED)
        expect(page.locator(status)).to_be_visible()  # its tab is open
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
