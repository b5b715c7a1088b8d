"""Presets and grids on the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.ui.page import build_page
from pipelines.metadata import repeat
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from tests.support.page_asked import Asked
from tests.support.pages import settings_in, workshop_in
from tests.support.studios import picture_of
from tests.support.tiny_models import photo, tiny_model

MINE = {"blipdiff": "preset", "version": 1, "name": "mine", "task": "generate", "values": {"steps": 7, "seed": 4}}


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture
def asked(studio: Studio, tmp_path: Path) -> Iterator[Asked]:
    workshop = workshop_in(tmp_path, studio)
    workshop.start()
    visit = Asked(build_page(workshop, settings_in(tmp_path)), workshop)
    yield visit
    visit.close()
    workshop.close()


def drawn(asked: Asked) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for one in asked.drawn():
        changes |= one
    return changes


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_preset_fills_the_form_and_what_is_set_is_kept_as_one(asked: Asked, tmp_path: Path) -> None:
    filled = asked.changed("preset", "input", preset="quick look")
    assert (filled["field-speed"], filled["field-count"]) == ("fast", 6)
    assert "find a seed" in filled["preset-about"]
    assert "no preset" in asked.changed("preset", "input", preset="none such")["preset-about"]
    assert "has no name" in asked.click("preset-save")["preset-about"]
    kept = asked.click("preset-save", preset_name="my look", field_steps="33", field_prompt="on a beach")
    assert "Saved as" in kept["preset-about"]
    found = json.loads((tmp_path / "presets" / "my-look.json").read_text())
    assert (found["values"]["steps"], found["values"]["prompt"]) == (33, "on a beach")
    assert not {"seed", "category"} & set(found["values"])
    again = asked.changed("preset", "input", preset="my look")
    assert again["field-steps"] == "33"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_presets_name_is_no_path_of_a_file(asked: Asked, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.json"
    path.write_text(json.dumps(MINE))
    answer = asked.changed("preset", "input", preset=str(path))
    assert "There is no preset" in answer["preset-about"]
    assert "field-steps" not in answer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_grid_of_a_variation_goes_on_from_that_very_one(asked: Asked, studio: Studio, tmp_path: Path) -> None:
    path = save_picture(picture_of(studio, 1, count=2, variation=0.5, seed=3, variation_seed=8), tmp_path / "made.png")
    typed = {"grid_x": "steps", "grid_x_values": "2", "grid_y": ""}
    asked.click("grid-draw", grid_picture=str(path), **typed)
    workshop = asked._workshop
    assert workshop is not None
    [ticket] = workshop.queue.tickets(most=1)
    inner = workshop.queue.job(ticket.id).request.job["request"]
    assert (inner["seed"], inner["variation_seed"], inner["count"]) == (3, 9, 1)
    for _ in asked.drawn():
        pass


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_presets_file_is_brought_and_one_for_another_tab_kept(asked: Asked, tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_text(json.dumps(MINE))
    filled = asked.changed("preset-file", "upload", preset_file=str(path))
    assert (filled["field-steps"], filled["field-seed"], filled["random-seed"]) == ("7", "4", False)
    there = asked.changed("edit-preset-file", "upload", edit_preset_file=str(path))
    assert "is for Create" in there["edit-preset-about"]
    path.write_text("{")
    assert "no preset" in asked.changed("preset-file", "upload", preset_file=str(path))["preset-about"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_presets_control_fills_the_stylize_tab(asked: Asked) -> None:
    filled = asked.changed("stylize-preset", "input", stylize_preset="loose sketch")
    assert 0.6 in filled.values()
    assert "by hand" in filled["stylize-preset-about"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_grid_is_drawn_of_a_picture_and_its_enlargement_too(asked: Asked, tmp_path: Path) -> None:
    photo().save(tmp_path / "dog.png")
    typed = {"field_category": "dog", "field_steps": 2, "field_count": 1, "field_seed": "3", "random_seed": False}
    assert "no picture yet" in asked.click("grid-draw")["grid-status"]
    asked.click("generate", subject=[str(tmp_path / "dog.png")], **typed)
    drawn(asked)
    [made] = (tmp_path / "history" / "pictures").rglob("*dog-3.png")
    offered = asked.changed("grid-picture", "change", grid_picture=str(made))
    assert "Steps (from 1 to 1000, whole)" in [label for label, _ in offered["grid-x"].choices]
    asked.click("grid-draw", grid_picture=str(made), grid_x="steps", grid_x_values="1, 2", grid_y="", grid_y_values="")
    changes = drawn(asked)
    with Image.open(changes["grid-sheet"]) as sheet:
        assert sheet.width > sheet.height
    [cell] = (tmp_path / "history" / "pictures").rglob("*1-2-dog-3.png")
    assert repeat(cell).request.steps == 2
    asked.click("upscale-draw", upscale_picture=str(made), upscale_steps=2, upscale_seed="1")
    drawn(asked)
    [larger] = (tmp_path / "history" / "pictures").rglob("*x2-1.png")
    with Image.open(larger) as picture:
        assert picture.size == (32, 32)
