"""Models on the page: mini is given a photograph; the published model is got, stopped, gone on with, drawn with."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio
import pytest

from app.doors.access import Access
from app.jobs.workshop import Machine, Workshop
from app.server import serve
from app.settings import read_settings
from app.ui.mounted import behind_door
from app.ui.page import build_page
from pipelines.studio import Studio
from tests.browser.conftest import PATIENCE
from tests.support.pages import settings_in
from tests.support.stand_in_hub import NAME, UNET, StandInHub
from tests.support.tiny_models import tiny_model

pytest_plugins = ["tests.support.hub_fixtures"]
pytestmark = pytest.mark.browser

PHOTOGRAPH = Path(gradio.__file__).parent / "media_assets" / "images" / "lion.jpg"


@pytest.fixture
def workshop(hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """One whose mini is the tiny model, and which opens all others by their names."""
    monkeypatch.setenv("BLIPDIFF_SETTINGS", str(tmp_path / "settings.json"))
    mini = Studio(replace(tiny_model(), name="mini"))

    def opened(name: str, device: str) -> Studio:
        return mini if name == "mini" else Studio.open(name, device="cpu", dtype="float32")

    settings = settings_in(tmp_path)
    return Workshop(settings.history, Machine(["mini"], opened, is_warmed=True), library=settings.library)


@pytest.fixture
def page(workshop: Workshop, tmp_path: Path, browser: Any) -> Iterator[Any]:
    built = build_page(workshop, settings_in(tmp_path))
    with serve(workshop, page=behind_door(built, Access())) as running:
        visit = browser.new_page(viewport={"width": 1280, "height": 1000})
        visit.set_default_timeout(PATIENCE)
        visit.goto(running.page, wait_until="domcontentloaded")
        visit.locator("#generate").wait_for()
        yield visit
        visit.close()


def test_a_photograph_leads_to_the_published_model_which_draws_it(
    page: Any, workshop: Workshop, hub: StandInHub
) -> None:
    from playwright.sync_api import expect

    hub.tags = ["license:apache-2.0"]
    hub.held_at = {UNET: 8192}
    expect(page.locator("#photo-hint")).to_be_hidden()
    page.locator("#subject input[type=file]").set_input_files(PHOTOGRAPH)
    expect(page.locator("#photo-hint")).to_contain_text("looks like a photograph", timeout=PATIENCE)
    page.locator("#photo-hint-button").click()
    expect(page.locator("#models-list")).to_contain_text("of memory: fits", timeout=PATIENCE)
    assert hub.fetched == []

    page.locator("#model-ask").click()
    expect(page.locator("#model-status")).to_contain_text("licence: apache-2.0", timeout=PATIENCE)
    expect(page.locator("#model-status")).to_contain_text("are free on the disk")
    assert hub.fetched == []
    page.locator("#model-get").click()
    expect(page.locator("#model-status progress")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#model-status")).to_contain_text(f"Fetching {NAME}: ", timeout=PATIENCE)
    page.locator("#model-stop").click()
    expect(page.locator("#model-status")).to_contain_text("Stopping", timeout=PATIENCE)
    hub.go.set()
    expect(page.locator("#model-status")).to_contain_text("Stopped at", timeout=PATIENCE)
    assert NAME not in workshop.models.names

    page.locator("#model-get").click()
    expect(page.locator("#model-status")).to_contain_text(f"{NAME} is here", timeout=PATIENCE)
    first, second = (start for name, start in hub.fetched if name == UNET)
    assert (first, second > 0) == (0, True)
    expect(page.locator("#models-list")).to_contain_text("16 x 16 pixels, of anything", timeout=PATIENCE)

    page.locator("#model-choice input").click()
    page.get_by_role("option", name=NAME).click()
    expect(page.locator("#photo-hint")).to_be_hidden(timeout=PATIENCE)
    page.get_by_role("tab", name="Create").click()
    page.locator("#field-category textarea, #field-category input").first.fill("dog")
    page.locator("#generate").click()
    expect(page.locator("#gallery img").first).to_be_visible(timeout=PATIENCE)
    (ticket,) = workshop.queue.tickets(most=5)
    assert ticket.model == NAME


def test_settings_are_kept_and_wrong_ones_are_told(page: Any, workshop: Workshop, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page.get_by_role("tab", name="Settings").click()
    page.locator("#setting-space input, #setting-space textarea").first.fill("much")
    page.locator("#settings-save").click()
    expect(page.locator("#settings-status")).to_contain_text("type a number of GB", timeout=PATIENCE)
    assert not (tmp_path / "settings.json").exists()
    page.locator("#setting-space input, #setting-space textarea").first.fill("2.5")
    page.locator("#setting-previews input").uncheck()
    page.get_by_role("radio", name="Dark").check()
    page.get_by_role("radio", name="OpenVINO", exact=True).check()
    page.locator("#settings-save").click()
    expect(page.locator("#settings-status")).to_contain_text("Saved in", timeout=PATIENCE)
    expect(page.locator("body.dark")).to_be_visible(timeout=PATIENCE)
    assert workshop.history.most == 2_500_000_000, "now, not from the next start on"
    told = read_settings()
    assert (told.space, told.previews, told.theme, told.model) == (2.5, False, "dark", "mini")
    assert told.engine == "openvino"
