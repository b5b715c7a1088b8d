"""Subjects are fitted, judged and written whole; names become short categories."""

import json
from pathlib import Path

import numpy as np
import pytest

from blipdiff.data import Pixels
from blipdiff.data.drawn import LEARNED_ONLY, SOURCES, Drawing, build_subjects, read_drawings
from blipdiff.data.drawn.names import CLIPART_NOUNS, clipart_category, emoji_category
from blipdiff.data.drawn.subjects import distinct, fitted_subject
from blipdiff.errors import BlipdiffError


def disc(colour: tuple[int, int, int] = (200, 30, 30), size: int = 80) -> Pixels:
    rows, columns = np.mgrid[:size, :size]
    picture = np.zeros((size, size, 4), np.uint8)
    picture[(rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size * 0.4) ** 2] = (*colour, 255)
    picture[picture[..., 3] == 0, 1] = 255
    return picture


def drawing(picture: Pixels, name: str = "ball", source: str = "fluent") -> Drawing:
    return Drawing(name, name, source, lambda: picture)


def test_a_subject_is_centred_and_colours_under_alpha_zero_do_not_bleed() -> None:
    fitted = fitted_subject(drawing(disc()), 128)
    assert fitted is not None
    rows, columns = np.nonzero(fitted[..., 3])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((8, 119, 8, 119), abs=1)
    assert fitted[fitted[..., 3] > 32][:, 1].max() < 40, "the green under alpha 0 must stay out"


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0)])
def test_white_or_black_line_art_is_dropped(colour: tuple[int, int, int]) -> None:
    assert fitted_subject(drawing(disc(colour)), 64) is None


def test_an_empty_picture_and_a_full_rectangle_are_dropped() -> None:
    assert fitted_subject(drawing(np.zeros((60, 60, 4), np.uint8)), 64) is None
    assert fitted_subject(drawing(np.full((60, 60, 4), 255, np.uint8)), 64) is None


def test_repeats_inside_a_source_are_dropped_and_across_sources_kept() -> None:
    pictures = [disc(), disc(), disc((20, 30, 200)), disc()]
    assert distinct(pictures, ["a", "a", "a", "b"]) == [0, 2, 3]


def test_a_library_without_subjects_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BlipdiffError, match="No usable subject"):
        build_subjects(tmp_path, tmp_path / "out", drawings=[])
    assert not (tmp_path / "out").exists()


def test_every_array_row_has_its_record(tmp_path: Path) -> None:
    drawings = [drawing(disc((10 * i, 200 - 10 * i, 90)), f"ball{i}") for i in range(12)]
    count = build_subjects(tmp_path, tmp_path, 32, drawings=drawings)
    assert len(np.load(tmp_path / "subjects.npy")) == len(json.loads((tmp_path / "subjects.json").read_text())) == count
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("red apple", "apple"),
        ("dog face", "dog"),
        ("grinning face with big eyes", "face"),
        ("woman farmer", "farmer"),
        ("man walking: facing right", "man"),
        ("closed umbrella", "umbrella"),
        ("light blue heart", "heart"),
        ("ear of corn", "corn"),
    ],
)
def test_emoji_labels_become_short_nouns(label: str, category: str) -> None:
    assert emoji_category(label) == category


@pytest.mark.parametrize(
    ("stem", "folder", "category"),
    [
        ("hammer_nicu_buculei_01", "tools", "hammer"),
        ("baseball_bat_ganson", "sports", "baseball bat"),
        ("rana03_architetto_france_01", "animals", "frog"),
        ("xq_01", "birds", "bird"),
        ("abc_01", "unsorted", None),
    ],
)
def test_clipart_file_names_become_nouns_or_nothing(stem: str, folder: str, category: str | None) -> None:
    assert clipart_category(stem, folder, CLIPART_NOUNS) == category


def test_every_source_names_its_licence_and_credit() -> None:
    assert all(source.licence and source.credit and source.package for source in SOURCES)


def test_emoji_files_are_read_with_their_names(tmp_path: Path) -> None:
    names = tmp_path / "names" / "package"
    (names / "en").mkdir(parents=True)
    (names / "meta").mkdir()
    emoji = {"label": "red apple", "hexcode": "1F34E-FE0F", "group": 4, "subgroup": 42}
    flag = {"label": "flag: Wales", "hexcode": "1F3F4", "group": 9, "subgroup": 99}
    (names / "en" / "data.json").write_text(json.dumps([emoji, flag]))
    (names / "meta" / "groups.json").write_text(json.dumps({"subgroups": {"42": "food-fruit", "99": "flag"}}))
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="3" fill="#c22"/></svg>'
    (tmp_path / "twemoji").mkdir()
    for code in ("1f34e", "1f3f4", "1f34e-1f3fb"):
        (tmp_path / "twemoji" / f"{code}.svg").write_text(svg)
    sprites = tmp_path / "noto" / "sprites"
    sprites.mkdir(parents=True)
    inner = svg.replace("<svg ", '<svg id="1F34E-FE0F" ')
    (sprites / "all.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{inner}</svg>')
    codes = names / "en" / "shortcodes"
    codes.mkdir()
    for kind in ("emojibase", "github", "iamcal", "joypixels", "cldr"):
        (codes / f"{kind}.json").write_text(json.dumps({"1F34E": ["fruit_red"], "1F3F4": "wales"}))
    body = '<circle cx="4" cy="4" r="3" fill="#c22"/>'
    for source in LEARNED_ONLY:
        icons = {name: {"body": body} for name in ("red-apple", "fruit-red-2", "wales", "nothing-known")}
        (tmp_path / source).mkdir()
        (tmp_path / source / "icons.json").write_text(json.dumps({"icons": icons, "width": 8, "height": 8}))
    drawings = list(read_drawings(tmp_path))
    assert [(d.name, d.category, d.source) for d in drawings] == [
        ("red apple", "apple", "twemoji"),
        ("red apple", "apple", "noto"),
        *[("red apple", "apple", source) for source in LEARNED_ONLY for _ in ("its name", "its short code, numbered")],
    ]
    pytest.importorskip("resvg_py")
    assert all(d.render()[128, 128].tolist() == [204, 34, 34, 255] for d in drawings)
