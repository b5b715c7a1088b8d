import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.ui.markup import data
from blipdiff.errors import ConfigError, MissingDependencyError, OutputError
from blipdiff.evaluation.sheets import contact_sheet
from pipelines import sheets
from pipelines.sheets import labelled_grid, looped, save_animation

FRAMES = [Image.new("RGB", (17, 16), colour) for colour in ("red", "green", "blue", "white")]


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_film_loops_there_and_back(tmp_path: Path, suffix: str) -> None:
    path = save_animation(FRAMES, tmp_path / f"film{suffix}", per_second=10)
    with Image.open(path) as film:
        assert film.n_frames == 6  # the rests at the ends are one long frame each
        assert film.info.get("loop") == 0
        assert film.size == (17, 16)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_there_and_back_rests_at_its_ends_and_once_does_not() -> None:
    assert len(looped(FRAMES)) == 4 + 2 + 4 + 2
    assert looped(FRAMES, "once") == looped(FRAMES, "round") == FRAMES
    assert len(looped(FRAMES[:1])) == 1


def test_without_an_encoder_mp4_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"blipdiff\[video\]"):
        save_animation(FRAMES, tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["av", "imageio_ffmpeg"])
def test_an_mp4_is_written_where_there_is_an_encoder(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    monkeypatch.setattr(sheets, "find_spec", lambda name: name == package or None)
    path = save_animation(FRAMES * 4, tmp_path / "film.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"


def test_films_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for name, more in (("film.avi", {}), ("film.gif", {"per_second": 0}), ("film.gif", {"loop": "forth"})):
        with pytest.raises(ConfigError):
            save_animation(FRAMES, tmp_path / name, **more)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_animation(FRAMES, tmp_path / "file" / "film.gif")


def test_a_grid_holds_every_picture_and_its_words_and_folds_long_rows() -> None:
    row = [(frame, "75% dog + 25% cat") for frame in FRAMES]
    wide, folded = labelled_grid([row]), labelled_grid([row], across=2)
    assert wide.width > folded.width and folded.height > wide.height
    assert {colour for _, colour in wide.getcolors(100_000)} >= {(255, 0, 0), (0, 0, 255)}
    assert labelled_grid([row[:1], row[:2]]).width < wide.width
    with pytest.raises(ConfigError, match="at least one"):
        labelled_grid([])


def _delays(path: Path) -> list[int]:
    with Image.open(path) as film:
        found = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()  # a WebP's time is known only then
            found.append(int(film.info["duration"]))
    return found


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("per_second", [0.5, 7, 12, 24, 30, 50, 60])
def test_a_film_lasts_as_long_as_asked_and_no_frame_is_slowed_by_browsers(
    tmp_path: Path, suffix: str, per_second: float
) -> None:
    frames = [Image.new("RGB", (16, 16), (4 * number, 255 - 4 * number, 90)) for number in range(60)]
    delays = _delays(save_animation(frames, tmp_path / f"film{suffix}", per_second=per_second, loop="round"))
    assert min(delays) >= 20
    assert abs(sum(delays) - 60_000 / per_second) <= 20


def test_a_gif_that_is_shown_once_has_no_loop_and_a_webp_counts_to_one(tmp_path: Path) -> None:
    once, again = (save_animation(FRAMES, tmp_path / f"{n}.gif", loop=n).read_bytes() for n in ("once", "round"))
    assert b"NETSCAPE2.0" not in once
    assert again[again.index(b"NETSCAPE2.0") + 11 :][:5] == b"\x03\x01\x00\x00\x00"
    webp = save_animation(FRAMES, tmp_path / "film.webp", loop="once").read_bytes()
    assert webp[webp.index(b"ANIM") + 12 :][:2] == b"\x01\x00"


def clear() -> Image.Image:
    """A red square on transparent ground, which is black under its transparency."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (16, 16, 48, 48))
    return picture


def test_what_is_transparent_stands_on_white(tmp_path: Path) -> None:
    grid = labelled_grid([[(clear(), "one")]])
    sheet = contact_sheet([[clear()]], ["one"], ["row"], side=64)
    with Image.open(save_animation([clear(), clear()], tmp_path / "film.gif")) as film:
        first = film.convert("RGB")
    with Image.open(io.BytesIO(base64.b64decode(data(clear()).split(",")[1]))) as shown:
        inline = shown.convert("RGB")
    for picture, (x, y) in ((grid, (6, 6)), (sheet, (4, 23)), (first, (0, 0)), (inline, (0, 0))):
        pixels = np.asarray(picture)
        assert pixels[y + 4, x + 4].min() > 245 and pixels[y + 32, x + 32, 0] > 240 and pixels[y + 32, x + 32, 1] < 20
