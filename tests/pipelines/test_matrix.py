"""A matrix of looks and structures with a tiny model: its files, its sheet, and going on after an interruption."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from pipelines.controls.settings import ControlSettings
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.stylize.matrix import Cell, Structure, matrix
from pipelines.stylize.request import StylizeRequest
from tests.support.studios import pictures
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture
def request_(net):
    control = ControlSettings(control=str(net), preprocessor="tile")
    return StylizeRequest(category="dog", steps=2, count=1, scheduler="ddim", controls=(control,))


LOOKS = [SubjectPhoto(photo(seed), word) for seed, word in ((0, "dog"), (1, "tiger"))]
PLACES = [Structure(photo(seed, (32, 32)), word) for seed, word in ((4, "teapot"), (5, "snow"))]


def test_an_interrupted_matrix_goes_on_and_draws_the_same(request_, tmp_path):
    studio = Studio(tiny_model())
    whole = [one for one in matrix(studio, request_, LOOKS, PLACES, tmp_path / "whole") if isinstance(one, Cell)]
    assert [(one.row, one.column, one.was_there) for one in whole] == [
        (0, 0, False), (0, 1, False), (1, 0, False), (1, 1, False),
    ]  # fmt: skip
    broken = matrix(studio, request_, LOOKS, PLACES, tmp_path / "broken")
    while not isinstance(next(broken), Cell):
        pass
    broken.close()
    again = [one for one in matrix(studio, request_, LOOKS, PLACES, tmp_path / "broken") if isinstance(one, Cell)]
    assert [one.was_there for one in again] == [True, False, False, False]
    for one, other in zip(whole, again, strict=True):
        assert np.array_equal(np.asarray(Image.open(one.path)), np.asarray(Image.open(other.path)))
    assert (tmp_path / "broken" / "matrix.png").read_bytes() == (tmp_path / "whole" / "matrix.png").read_bytes()


def test_other_settings_and_foreign_files_are_drawn_anew(request_, tmp_path):
    studio = Studio(tiny_model())
    first = [one for one in matrix(studio, request_, LOOKS[:1], PLACES[:1], tmp_path) if isinstance(one, Cell)]
    weaker = replace(request_, subject_strength=0.5)
    second = [one for one in matrix(studio, weaker, LOOKS[:1], PLACES[:1], tmp_path) if isinstance(one, Cell)]
    assert not second[0].was_there and second[0].path == first[0].path
    first[0].path.write_bytes(b"no picture")
    third = [one for one in matrix(studio, weaker, LOOKS[:1], PLACES[:1], tmp_path) if isinstance(one, Cell)]
    assert not third[0].was_there
    whole = first[0].path.read_bytes()
    assert len(whole) == len(third[0].path.read_bytes())
    for part in (0.5, 0.97):  # behind its metadata, within its pixels
        first[0].path.write_bytes(whole[: int(len(whole) * part)])
        again = [one for one in matrix(studio, weaker, LOOKS[:1], PLACES[:1], tmp_path) if isinstance(one, Cell)]
        assert not again[0].was_there
        assert first[0].path.read_bytes() == whole


def test_a_finetune_of_the_unet_draws_the_cells_anew(request_, tmp_path):
    model, (look, *_), (place, *_) = tiny_model(), LOOKS, PLACES
    for changed in (False, True):
        if changed:
            model.unet.conv_in.weight.mul_(1.001)
        found = list(matrix(Studio(model), request_, [look], [place], tmp_path))
        assert [one.was_there for one in found if isinstance(one, Cell)] == [False]


def test_a_cell_is_the_picture_that_stylizing_draws(request_, tmp_path):
    studio = Studio(tiny_model())
    cells = [one for one in matrix(studio, request_, LOOKS[:1], PLACES[:1], tmp_path) if isinstance(one, Cell)]
    asked = replace(request_, target="teapot", count=1)
    (drawn,) = pictures(run(studio, Job.of(asked, subject=LOOKS[0], structure=PLACES[0].picture)))
    assert np.array_equal(np.asarray(Image.open(cells[0].path)), np.asarray(drawn.image))
    assert cells[0].path.name == "1-1-dog-teapot.png"


def test_a_look_may_be_a_card_and_a_structure_of_a_shape_of_its_own(request_, tmp_path):
    studio = Studio(tiny_model())
    card = studio.subject(LOOKS[:1])
    wide = [Structure(photo(4, (64, 23)), "teapot"), Structure(photo(5, (23, 64)))]
    for was_there in (False, True):
        found = [one for one in matrix(studio, request_, [card], wide, tmp_path) if isinstance(one, Cell)]
        assert [one.was_there for one in found] == [was_there] * 2
    assert [Image.open(one.path).size for one in found] == [(26, 10), (10, 26)]
    assert [one.path.name for one in found] == ["1-1-dog-teapot.png", "1-2-dog-dog.png"]


def test_an_empty_matrix_is_refused(request_, tmp_path):
    with pytest.raises(ConfigError, match="empty"):
        next(matrix(Studio(tiny_model()), request_, [], PLACES, tmp_path))


def test_the_command_writes_the_sheet_and_tells_what_was_there(blipdiff, model, dog, net, tmp_path):
    photo(4).save(tmp_path / "sofa.png")
    arguments = [
        "matrix", "--model", model, "--subjects", f"dog={dog}", "--structures", f"sofa={tmp_path / 'sofa.png'}",
        "--control", net, "--steps", 1, "--seed", 2, "--output", "sheet",
    ]  # fmt: skip
    first, second = blipdiff(*arguments), blipdiff(*arguments)
    assert first.code == second.code == 0, first.err
    assert "(was there)" not in first.out and "(was there)" in second.out
    assert first.out.splitlines()[-1].endswith("matrix.png")
    assert blipdiff("matrix", "--model", model, "--subjects", f"dog={dog}").code == 2
