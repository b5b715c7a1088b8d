"""Answers to clicks on the history in a real browser: late, lost, overtaken, or shown in the wrong order."""

import re
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from app.jobs.history import History
from app.ui.history import acts
from app.ui.history.look import Look
from app.ui.room import Room
from tests.browser.conftest import PATIENCE
from tests.support.history_page import Place, expecting

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.support.history_fixtures"]

RECALLED = re.compile("The form is as it was")
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


def test_an_older_answer_that_is_shown_last_is_asked_for_anew(place: Place) -> None:
    assert place.page.evaluate(OLDER_LAST) == [1, ["subject"], 0]


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
