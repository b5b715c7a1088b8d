"""Your files in a real browser: brought, chosen with a weight, drawn with, kept over a reload."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from app.doors.access import Access
from app.jobs.opening import opener
from app.jobs.own_files import OwnFiles
from app.jobs.workshop import Machine, Workshop
from app.server import Running, serve
from app.ui.mounted import behind_door
from app.ui.page import build_page
from blipdiff.checkpoints import save_model
from pipelines.metadata import read_metadata
from tests.browser.conftest import PATIENCE
from tests.support.brought import factors, sd_tensors, vectors, write_embedding, write_kohya
from tests.support.original_names import to_ldm_vae
from tests.support.pages import settings_in
from tests.support.tiny_models import photo, tiny_model

pytestmark = pytest.mark.browser


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A page on a model in a folder, which is opened with what jobs ask for."""
    save_model(tiny_model(), tmp_path / "tiny")
    settings, files = settings_in(tmp_path), OwnFiles([tmp_path / "files"])
    machine = Machine([str(tmp_path / "tiny")], opener(dtype="float32", files=files), ["cpu"], files=files)
    workshop = Workshop(settings.history, machine, library=settings.library)
    with serve(workshop, page=behind_door(build_page(workshop, settings), Access())) as found:
        yield found


@pytest.fixture
def page(running: Running, browser: Any) -> Iterator[Any]:
    complaints: list[str] = []
    visit = browser.new_page(viewport={"width": 1280, "height": 1000})
    visit.set_default_timeout(PATIENCE)
    visit.on("pageerror", lambda error: complaints.append(str(error)))
    visit.goto(running.page, wait_until="domcontentloaded")
    visit.locator("#generate").wait_for()
    yield visit
    visit.close()
    assert complaints == []


def test_files_are_brought_chosen_drawn_with_and_kept(page: Any, tmp_path: Path) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    write_kohya(factors(tiny_model()), brought / "chalk.safetensors", {"modelspec.trigger_phrase": "chalk <b>art</b>"})
    write_embedding(brought / "bad.pt", vectors())
    soft = to_ldm_vae(sd_tensors(tiny_model(1), 0.1)["vae"])
    save_file({name: value.contiguous() for name, value in soft.items()}, brought / "soft.safetensors")
    photo().save(brought / "dog.png")
    page.get_by_role("button", name="Your files").click()
    page.locator("#own-files-brought input[type=file]").set_input_files(
        [brought / name for name in ("chalk.safetensors", "bad.pt", "soft.safetensors", "dog.png")]
    )
    page.locator("#own-files-status", has_text="dog.png is a picture; a weights file was expected.").wait_for()
    rows = page.locator("#own-files-list li")
    rows.filter(has_text="chalk <b>art</b>").wait_for()
    rows.filter(has_text="Write bad in a prompt.").wait_for()
    slider = page.get_by_label("Weight of chalk")
    slider.focus()
    slider.press("ArrowLeft")
    page.get_by_role("button", name="Your files: chalk 0.95").wait_for()
    page.get_by_role("button", name="Use with the model: soft.safetensors").click()
    page.locator("#own-files-status", has_text="tiny + soft.safetensors is a model of its own now").wait_for()
    page.locator("#subject input[type=file]").first.set_input_files(brought / "dog.png")
    for name, value in (("category", "dog"), ("prompt", "a bad day")):
        page.locator(f"#field-{name} textarea, #field-{name} input").first.fill(value)
    page.locator("#generate").click()
    page.locator("#status", has_text="pictures in").wait_for()
    path = next((tmp_path / "history" / "pictures").rglob("*.png"))
    told = read_metadata(path)["model"]
    assert {"LoRA chalk at 0.95", "embedding bad"} <= set(told["parts"])
    assert told["name"] == "tiny + soft.safetensors"
    page.reload()
    page.get_by_role("button", name="Your files: chalk 0.95").click()
    page.get_by_role("button", name="Remove: chalk").click()
    page.locator("#own-files-status", has_text="chalk.safetensors is removed.").wait_for()
    page.get_by_role("button", name=re.compile(r"^Your files\W*$")).wait_for()
    assert rows.count() == 2
    page.get_by_role("button", name="Start from a picture made here").first.click()
    page.locator("#made-here input[type=file]").first.set_input_files(path)
    page.get_by_role("button", name="Your files: chalk 0.95").wait_for()  # as the picture was drawn
