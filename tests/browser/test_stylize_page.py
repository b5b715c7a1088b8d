"""The stylize tab in a real browser: a live map, a picture beside its structure, and what goes wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from blipdiff.checkpoints.controls import save_control
from pipelines.metadata import read_metadata
from tests.browser.conftest import IN_SIGHT
from tests.support.tiny_models import photo, tiny_controlnet

pytestmark = pytest.mark.browser


def test_from_a_look_and_a_structure_to_a_picture(
    served: Any, open_page: Callable[..., Any], dog: Path, tmp_path: Path
) -> None:
    save_control(tiny_controlnet(), tmp_path / "net")
    structure = tmp_path / "sofa.png"
    clear = photo(4, (48, 32)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(structure)
    page = open_page(width=390, height=844)
    page.get_by_role("tab", name="Restyle").click()
    page.locator("#stylize-draw").click()
    page.locator("#stylize-status").get_by_text("There is no subject yet").wait_for()
    page.locator("#stylize-structure input[type=file]").set_input_files(str(structure))
    page.locator("#stylize-map img").wait_for()
    page.locator("#stylize-status").get_by_text("The map is ready").wait_for()
    page.locator("#stylize-subject input[type=file]").set_input_files(str(dog))
    page.locator("#stylize-subjects img").wait_for()
    control = page.locator("#stylize-control input").first
    control.fill(str(tmp_path / "net"))
    control.press("Enter")
    control.blur()
    category = page.locator("#stylize-category").locator("textarea, input").first
    category.fill("dog")
    category.blur()
    page.wait_for_timeout(500)
    preprocessor = page.locator("#stylize-preprocessor input").first
    preprocessor.click()
    lacking = page.locator("#stylize-preprocessor [role=option]").filter(has_text="pidinet — needs").first
    lacking.click()
    page.locator("#stylize-status").get_by_text("pidinet cannot run here: it needs controlnet_aux").wait_for()
    preprocessor.click()
    page.locator("#stylize-preprocessor [role=option][aria-label=canny]").first.click()
    page.locator("#stylize-status").get_by_text("The map is ready").wait_for()
    before = set(served.kept("dog-*.png"))
    page.locator("#stylize-draw").click()
    page.locator("#stylize-status").get_by_text("1 picture in").wait_for()
    page.locator("#stylize-slider img").first.wait_for()
    page.wait_for_function(IN_SIGHT, arg="#stylize-slider img")
    (made,) = set(served.kept("dog-*.png")) - before
    assert read_metadata(made)["job"]["request"]["controls"][0]["control"] == "net"  # its name, not where it lies
    made.unlink()
