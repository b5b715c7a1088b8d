"""Photo fields in a real browser: files that browsers cannot show, files that are no pictures, and none any more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

FIELD, NOTE = "#edit-photo", "#edit-photo-note"
DECODED = "pictures => pictures.length > 0 && pictures.every(one => one.complete && one.naturalWidth > 0)"


def test_a_photo_is_shown_whatever_its_kind_and_what_is_none_is_said_beside_it(
    open_page: Callable[..., Any], dog: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.full((40, 60), 129 * 257, np.uint16)).save(tmp_path / "scan.tif")
    (tmp_path / "notes.png").write_text("no picture at all")
    page = open_page()
    page.get_by_role("tab", name="Edit").click()
    given = page.locator(f"{FIELD} input[type=file]")
    given.set_input_files(tmp_path / "notes.png")
    page.locator(NOTE).get_by_text("notes.png is not a picture").wait_for()
    assert page.locator(f"{FIELD} img").count() == 0
    given.set_input_files(tmp_path / "scan.tif")
    page.locator(NOTE).get_by_text("scan.tif, as it is read").wait_for()
    page.locator(f"{FIELD} img").wait_for()
    page.wait_for_function(f"({DECODED})([...document.querySelectorAll('{FIELD} img')])")
    page.locator(FIELD).get_by_role("button", name="Remove Image").click()
    page.locator(NOTE).get_by_text("scan.tif").wait_for(state="hidden")
    given.set_input_files(dog)
    page.locator(f"{FIELD} img").wait_for()
    assert not page.locator(NOTE).is_visible()
