"""Photo fields: the uploaded file is what the run reads, whatever its kind; what is wrong is said beside the field."""

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData, ImageData
from PIL import Image

from app.ui.components import PREVIEW, Canvas, Listed, Marks, OneOf, Photo
from app.ui.page import build_page
from app.ui.photos import looked_at, to_paint_on
from blipdiff.images import open_picture
from blipdiff.picture_files import LARGEST_PIXELS
from pipelines.studio import Studio
from tests.support.pages import settings_in, workshop_in
from tests.support.tiny_models import tiny_model

ALREADY_READ = {"edit-canvas", "cut-out-canvas"}  # backgrounds are given by us, strokes are drawn by the browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    folder = tmp_path_factory.mktemp("page")
    workshop = workshop_in(folder, Studio(tiny_model()))
    yield build_page(workshop, settings_in(folder))
    workshop.close()


def read_by_page(path: Path) -> str:
    with gr.Blocks():
        photo = Photo(type="filepath", image_mode=None)
    found = photo.preprocess(ImageData(path=str(path), orig_name=path.name))
    assert isinstance(found, str)
    return found


def events_of(page: gr.Blocks) -> list[Any]:
    return list(page.fns.values())


def test_every_field_that_takes_a_picture_hands_on_the_file_itself(page: gr.Blocks) -> None:
    taken = {block for event in events_of(page) for block in event.inputs if isinstance(block, gr.Image)}
    assert {"camera", "edit-photo", "stylize-structure", "blend-photo-A"} <= {field.elem_id for field in taken}
    assert all(isinstance(field, Photo) for field in taken)
    drawn_on = {block for event in events_of(page) for block in event.inputs if isinstance(block, gr.ImageEditor)}
    assert {block.elem_id for block in drawn_on} >= ALREADY_READ
    assert all(isinstance(block, Canvas) for block in drawn_on)


def test_cut_outs_arrive_on_white_and_16_bits_as_they_are_meant(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(tmp_path / "cut_out.png")
    assert open_picture(read_by_page(tmp_path / "cut_out.png")).getpixel((8, 8)) == (255, 255, 255)
    Image.fromarray(np.full((16, 16), 129 * 257, np.uint16)).save(tmp_path / "ramp.png")
    assert open_picture(read_by_page(tmp_path / "ramp.png")).getpixel((8, 8)) == (129, 129, 129)


def test_a_picture_above_the_limit_is_not_opened_and_is_refused_in_a_sentence(tmp_path: Path) -> None:
    side = int(LARGEST_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "large.png")
    path = read_by_page(tmp_path / "large.png")
    shown, note = looked_at(path)
    assert shown is None
    assert "large.png" in note
    assert "megapixels" in note
    assert str(tmp_path) not in note


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_said_beside_the_field_with_its_name_escaped(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x>.png"
    path.write_bytes(content)
    shown, note = looked_at(read_by_page(path))
    assert shown is None
    assert "&lt;img src=x&gt;.png" in note
    assert "<img" not in note


def test_what_browsers_cannot_show_is_shown_by_a_preview_and_read_from_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    Image.fromarray(np.full((40, 60), 129 * 257, np.uint16)).save(path)
    shown, note = looked_at(str(path))
    assert shown == f"{path}{PREVIEW}"
    assert Image.open(shown).getpixel((3, 3)) == (129, 129, 129)
    assert "scan.tif" in note
    assert read_by_page(Path(shown)) == str(path)
    alone = tmp_path / f"alone.tif{PREVIEW}"
    Image.new("RGB", (8, 8)).save(alone)
    assert read_by_page(alone) == str(alone), "a file of this name that somebody uploaded"


def test_what_browsers_show_is_left_alone(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.jpg")
    shown, note = looked_at(str(tmp_path / "red.jpg"))
    assert (shown, note) == (gr.skip(), "")
    assert looked_at(None) == (gr.skip(), "")


def test_a_photo_within_the_message_is_kept_as_it_was_sent() -> None:
    with gr.Blocks():
        photo = Photo(type="filepath", image_mode=None)
    url = "data:image/png;base64," + base64.b64encode(b"as sent").decode()
    assert Path(photo.preprocess(ImageData(url=url))).read_bytes() == b"as sent"
    assert photo.preprocess(None) is None


def test_the_canvas_shows_the_photo_upright_and_gives_its_strokes_alone(tmp_path: Path) -> None:
    turned = Image.new("RGB", (40, 20), "red")
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert to_paint_on(str(tmp_path / "turned.jpg"))["background"].size == (20, 40)
    assert to_paint_on(str(tmp_path / "nothing.png")) is None
    assert to_paint_on(None) is None
    Image.new("RGBA", (20, 40), "white").save(tmp_path / "stroke.png")
    with gr.Blocks():
        canvas = Canvas(type="pil")
    layer = FileData(path=str(tmp_path / "stroke.png"))
    sent = SimpleNamespace(id=None, background=layer, layers=[layer], composite=layer)
    found = canvas.preprocess(sent)
    assert (found["background"], found["composite"], found["layers"][0].size) == (None, None, (20, 40))


def test_a_choice_that_was_offered_a_moment_ago_is_heard() -> None:
    with gr.Blocks():
        assert Marks([("now", 1)]).preprocess([1, 2]) == [1, 2]
        assert OneOf(["now"]).preprocess("before") == "before"
        assert Listed(["now"]).preprocess("before") == "before"


def test_every_event_keeps_the_last_change_and_every_click(page: gr.Blocks) -> None:
    """Gradio's default for anything but a change is to drop what comes while an event of the same kind is open."""
    for event in events_of(page):
        names = {name for _, name in event.targets}
        if event.fn is None or names <= {"load", "unload"}:
            continue
        assert event.trigger_mode in ("multiple", "always_last"), names
        is_long = bool(event.types_generator)
        changed = set(event.outputs) & {block for other in events_of(page) for block in other.inputs}
        fields = {block for block in changed if not isinstance(block, (gr.State, gr.BrowserState))}
        # what a fetched model adds to a list is no change of what was chosen
        fields = {block for block in fields if getattr(block, "elem_id", None) != "model-choice"}
        assert not (is_long and fields), "a run tells how far it is, and changes no field"
