"""The subject picker without a browser: what it holds becomes a job's subjects, cut-outs are corrected."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from app.ui.components import PREVIEW
from app.ui.subject_picker.brush import CutOutBrush
from app.ui.subject_picker.masks import LESS, MORE, corrected, outlined_photo, packed, unpacked
from app.ui.subject_picker.picks import Picked, picked_of, subjects_of
from app.ui.subject_picker.shelf import found_cards
from app.ui.subject_picker.slots import in_photo_field
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import SubjectError
from pipelines.inputs import Input
from pipelines.subject_library import SubjectLibrary


def disc(size: tuple[int, int] = (96, 80)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((28, 20, 68, 60), fill="red")
    return image


@pytest.fixture
def photo(tmp_path: Path) -> str:
    disc().save(tmp_path / "disc.png")
    return str(tmp_path / "disc.png")


@pytest.fixture
def card(tmp_path: Path) -> str:
    subject = SubjectEmbedding(torch.ones(4, 8), "dog", thumbnail=Image.new("RGB", (8, 8), "blue"))
    return str(subject.save(tmp_path / "dog.safetensors"))


def stroke(box: tuple[int, int, int, int], colour: str = MORE, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A place painted on a canvas."""
    layer = Image.new("RGBA", size)
    ImageDraw.Draw(layer).rectangle(box, fill=colour)
    return layer


def test_weights_that_are_all_the_same_say_nothing(photo: str, card: str) -> None:
    def weights(*given: float) -> list[float | None]:
        return [one.weight for one in subjects_of(Picked((photo, card), given))]

    assert weights(1.0, 1.0, 1.0, 1.0) == [None, None]
    assert weights(1.0, 0.25, 1.0, 1.0) == [1.0, 0.25]
    assert [one.weight for one in subjects_of(Picked((photo,), (0.25, 1.0)))] == [None]


def test_a_stroke_changes_its_place_alone_and_soft_edges_stay_as_they_were_found() -> None:
    found = outlined_photo(disc())
    assert (found.canvas.size, found.is_sure) == ((96, 80), True)
    assert corrected(found.mask, None) is None and corrected(found.mask, Image.new("RGBA", (96, 80))) is None
    was = np.asarray(found.mask)
    for colour, box, level in ((MORE, (2, 2, 12, 12), 255), (LESS, (40, 30, 55, 45), 0)):
        mask = corrected(found.mask, stroke(box, colour))
        assert mask is not None
        place = np.s_[box[1] : box[3] + 1, box[0] : box[2] + 1]
        rest = np.ones_like(was, bool)
        rest[place] = False
        assert (np.asarray(mask)[place] == level).all() and (np.asarray(mask)[rest] == was[rest]).all()


def test_what_is_left_out_is_grey_on_the_canvas() -> None:
    canvas = outlined_photo(disc()).canvas
    assert canvas.getpixel((48, 40)) == (255, 0, 0)
    assert max(canvas.getpixel((4, 4))) < 200  # type: ignore[arg-type]


def test_a_photo_without_a_subject_can_be_painted_from_nothing() -> None:
    found = outlined_photo(Image.new("RGB", (64, 64), "white"))
    assert not found.is_sure and "paint the subject" in found.note
    painted = corrected(found.mask, stroke((10, 10, 40, 40), size=(64, 64)))
    assert painted is not None and outlined_photo(disc((64, 64)), painted).is_sure


def test_what_the_canvas_shows_is_the_mask_of_its_photo_and_others_keep_theirs(photo: str, tmp_path: Path) -> None:
    disc((64, 64)).save(tmp_path / "other.png")
    other, held = str(tmp_path / "other.png"), [("1", photo), ("2", str(tmp_path / "other.png"))]
    with gr.Blocks():
        brush = CutOutBrush(str)
    known = brush.outputs[0]
    assert brush.show(held, None)[known]["shown"] is None, "nothing is cut out before it is opened"
    first = brush.show(held, {"open": True})
    assert brush.masks(first[brush.canvas], first[known]) == {}, "what was found needs no mask"
    painted = {"layers": [stroke((2, 2, 12, 12))]}
    assert np.asarray(brush.masks(painted, first[known])[photo])[7, 7] == 255
    second = brush.turn(held, painted, first[known], 1)
    assert second[known]["shown"] == other
    assert set(brush.masks(second[brush.canvas], second[known])) == {photo}
    back = brush.turn(held, second[brush.canvas], second[known], 0)
    seen = np.asarray(back[brush.canvas]["background"])
    assert (seen[7, 7] == 255).all(), "what was painted is no ground any more"
    begun = brush.begin_again(back[known])
    assert brush.masks(begun[brush.canvas], begun[known]) == {}
    gone = brush.show(held[1:], back[known])
    assert set(gone[known]["masks"]) == set()


def test_a_card_without_a_photo_says_so_where_its_cut_out_would_be(card: str) -> None:
    with gr.Blocks():
        brush = CutOutBrush(str)
    changes = brush.show([("1", card)], {"open": True})
    assert "keeps no photo" in str(changes[brush.outputs[3]])
    assert brush.masks(None, changes[brush.outputs[0]]) == {}


def test_a_jobs_subjects_come_back_as_files_with_weights_and_masks(photo: str, card: str) -> None:
    half = Image.new("L", (96, 80))
    half.paste(255, (0, 0, 48, 80))
    given = [
        Input(Path(photo).read_bytes(), "disc", weight=0.5, cut_out_mask=Input(half)),
        Input(SubjectPhoto(disc(), "disc", half)),
        Input(SubjectEmbedding.load(card), weight=1.0),
    ]
    picked = picked_of(given)
    again = subjects_of(picked)
    assert [one.weight for one in again] == [0.5, None, 1.0]
    with pytest.raises(SubjectError, match="Give the subject again"):
        picked_of([*given, Input(None, "lost")])
    opened = [one.opened("subject").reference for one in [Input(again[0].content, "disc"), again[2]]]
    assert isinstance(opened[0], SubjectPhoto) and opened[0].image.size == (96, 80)
    assert isinstance(opened[1], SubjectEmbedding) and opened[1].category == "dog"
    masks = [None if one.cut_out_mask is None else one.cut_out_mask.content for one in again]
    assert masks[2] is None and all(mask.tobytes() == half.tobytes() for mask in masks[:2])  # type: ignore[union-attr]
    assert unpacked(packed(half)).tobytes() == half.tobytes()


def test_a_card_in_a_photo_field_is_its_small_picture_and_stands_for_the_card(card: str) -> None:
    shown = in_photo_field(card)
    assert shown == f"{card}{PREVIEW}" and Image.open(shown).getpixel((4, 4)) == (0, 0, 255)


def test_the_shelf_shows_the_cards_that_can_be_read_and_says_when_there_are_none(tmp_path: Path) -> None:
    library = SubjectLibrary(tmp_path / "library")
    assert "library is empty" in found_cards(library, "")[2]
    for name in ("Rex the dog", "Tom"):
        library.save(SubjectEmbedding(torch.ones(4, 8), "dog"), name)
    (library.folder / "broken.safetensors").write_bytes(b"no card")
    cards, names, note = found_cards(library, "")
    assert (names, [caption for _, caption in cards], note) == (["Rex the dog", "Tom"], ["Rex the dog", "Tom, dog"], "")
    assert found_cards(library, "rex")[1] == ["Rex the dog"]
    assert "No subject" in found_cards(library, "cat")[2]
