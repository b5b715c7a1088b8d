"""Stylizing with a tiny model: sizes, maps, the subject's share, repetition, the command line, and bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.checkpoints.controls import load_control, save_control
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.errors import CheckpointError, ConfigError, ShapeError
from pipelines.controls.nets import map_of
from pipelines.controls.settings import ControlSettings
from pipelines.edit.request import EditRequest
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.metadata import job_of, read_metadata, repeat
from pipelines.parameters import plain, request_from
from pipelines.pictures import Picture, save_picture
from pipelines.studio import Studio
from pipelines.stylize.plan import structure_size
from pipelines.stylize.request import StylizeRequest
from tests.support.studios import counted
from tests.support.studios import pictures as pictures_in
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

DRAWING = {"category": "dog", "prompt": "on a beach", "steps": 3, "count": 1, "scheduler": "ddim"}


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def subject(studio):
    return studio.subject([SubjectPhoto(photo(0), "dog")])


@pytest.fixture
def asked(net):
    """asked(strength=0.5): a request with one control of these settings, and its own values under `own`."""

    def request(own=None, drawing=None, controls=1, **settings) -> StylizeRequest:
        control = ControlSettings(control=str(net), preprocessor="tile", map_settings={"factor": 2}, **settings)
        return StylizeRequest(**DRAWING | (drawing or {}) | (own or {}), controls=(control,) * controls)

    return request


def pictures(studio, request, subject, structure=None) -> list[Picture]:
    return pictures_in(run(studio, Job.of(request, subject=subject, structure=structure or photo(4))))


def pixels(studio, request, subject, structure=None) -> np.ndarray:
    return np.asarray(pictures(studio, request, subject, structure)[0].image).astype(int)


def test_the_picture_takes_the_structures_aspect(studio):
    model = studio.model
    asked = StylizeRequest(category="dog")
    assert structure_size(model, asked, Image.new("RGB", (400, 100))) == (32, 8)
    assert structure_size(model, asked, Image.new("RGB", (90, 90))) == (16, 16)
    assert structure_size(model, replace(asked, width=32), Image.new("RGB", (200, 100))) == (32, 16)
    assert structure_size(model, replace(asked, height=32), Image.new("RGB", (200, 100))) == (64, 32)


def test_fits_cut_lay_on_black_or_stretch():
    picture = Image.new("RGB", (40, 20), "white")
    made = {
        fit: np.asarray(
            map_of(Preprocessors(), ControlSettings(preprocessor="none", structure_fit=fit), picture, (16, 16))
        )
        for fit in ("crop", "pad", "squash")
    }
    assert made["crop"].min() == made["squash"].min() == 255
    assert made["pad"][0].max() == 0 and made["pad"][8].min() == 255


def test_a_structure_changes_the_picture_and_strength_zero_is_generating(studio, subject, asked):
    same_size = photo(4, (32, 32))
    (without,) = pictures_in(run(studio, Job.of(GenerateRequest(**DRAWING), subject=subject)))
    assert np.array_equal(pixels(studio, asked(strength=0.0), subject, same_size), np.asarray(without.image))
    assert not np.array_equal(pixels(studio, asked(), subject, same_size), np.asarray(without.image))


def test_two_halves_equal_one_whole(studio, subject, asked):
    halves = pixels(studio, asked(strength=0.5, controls=2), subject)
    assert np.abs(halves - pixels(studio, asked(strength=1.0), subject)).max() <= 1


def test_the_subject_can_be_weakened_windowed_and_kept_to_its_look(studio, subject, asked):
    whole, none = pixels(studio, asked(), subject), pixels(studio, asked({"subject_strength": 0.0}), subject)
    other = studio.subject([SubjectPhoto(photo(9), "dog")])
    assert not np.array_equal(whole, pixels(studio, asked(), other))
    ways = [{"subject_strength": 0.5}, {"subject_stop": 0.5}, {"blocks": "look"}]
    found = [pixels(studio, asked(own), subject) for own in ways]
    assert all(not np.array_equal(one, whole) and not np.array_equal(one, none) for one in found)


def test_a_stylized_picture_repeats_itself_from_its_file(studio, subject, asked, tmp_path):
    request = asked({"subject_strength": 0.8}, {"steps": 2, "count": 3, "batch": 2, "seed": 5})
    made = pictures(studio, request, subject)
    assert [one.seed for one in made] == [5, 6, 7]
    path = save_picture(made[1], tmp_path / "made.png")
    again = pictures_in(run(studio, repeat(path)))
    assert [one.seed for one in again] == [6]
    assert np.array_equal(np.asarray(again[0].image), np.asarray(made[1].image))
    assert again[0].metadata() == made[1].metadata()


def test_maps_alone_draw_what_their_structure_draws(studio, subject, asked):
    request = replace(asked(controls=2), width=16, height=16)
    maps = studio.nets.maps(request.controls, [photo(4)], (16, 16))
    given = pictures_in(run(studio, Job.of(request, subject=subject, map=list(maps))))
    assert np.array_equal(np.asarray(given[0].image), pixels(studio, request, subject))


def test_maps_too_large_for_metadata_are_asked_for(studio, subject, asked, monkeypatch):
    monkeypatch.setattr("pipelines.controls.nets._MOST_MAP_LETTERS", 8)
    (made,) = pictures(studio, asked(), subject)
    with pytest.raises(ConfigError, match="give it again"):
        next(run(studio, job_of(made.metadata())))
    maps = studio.nets.maps(asked().controls, [photo(4)], made.image.size)
    (again,) = pictures_in(run(studio, job_of(made.metadata()).completed(map=maps)))
    assert np.array_equal(np.asarray(again.image), np.asarray(made.image))
    assert again.metadata() == made.metadata()


@pytest.mark.parametrize("told", [{}, {"stylize": {}}, {"stylize": {"controls": "x"}}, {"stylize": []}])
def test_a_picture_that_tells_no_structure_is_not_repeated(studio, told):
    model = {"name": "tiny", **studio.model.identity.told()}
    request = {"task": "stylize", "category": "dog", "guidance": 3.0, **told}
    with pytest.raises(ConfigError, match="not made by stylizing; repeat it with the command that made it"):
        job_of({"version": 1, "model": model, "request": request, "seed": 0})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "No structure"),
        ({"structure": [photo(4)] * 3}, "3 structures were given for 2 controls"),
        ({"map": [photo(4, (16, 16))]}, "A map of the picture's structures is missing"),
    ],
)
def test_another_number_of_structures_is_refused(studio, subject, asked, inputs, says):
    with pytest.raises(ConfigError, match=says):
        next(run(studio, Job.of(asked(controls=2), subject=subject, **inputs)))


def test_a_request_survives_its_metadata(asked):
    request = asked({"blocks": "look"}, {"guidance": 3.0}, strength=0.3, start=0.1)
    assert request_from(StylizeRequest, plain(request)) == request
    with pytest.raises(ConfigError, match="surprise"):
        request_from(StylizeRequest, {"category": "dog", "controls": [{"surprise": 1}]})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strength": 2.5}, "from 0 to 2"),
        ({"start": 0.8, "stop": 0.2}, "0.8 to 0.2"),
        ({"preprocessor": "x-ray"}, "x-ray"),
        ({"map_settings": {"radius": 1}}, "no setting radius"),
        ({"structure_fit": "fold"}, "fold"),
        ({"control": " "}, "empty"),
    ],
)
def test_a_control_that_cannot_be_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        ControlSettings(**settings)


def test_a_request_that_cannot_be_is_refused(asked):
    with pytest.raises(ConfigError, match="No structure"):
        StylizeRequest(**DRAWING, controls=())
    with pytest.raises(ConfigError, match="Subject strength"):
        asked({"subject_strength": -0.1})
    with pytest.raises(ConfigError):
        asked({"subject_start": 0.6, "subject_stop": 0.5})


def test_a_net_of_another_model_is_refused_before_anything_is_drawn(studio, subject, tmp_path):
    from diffusers import ControlNetModel

    config = {**tiny_controlnet().config, "block_out_channels": (16, 16)}
    save_control(ControlNetModel.from_config(config), tmp_path / "wide")
    control = ControlSettings(control=str(tmp_path / "wide"), preprocessor="none")
    foreign = StylizeRequest(**DRAWING, controls=(control,))
    with counted(studio.model.unet) as calls, pytest.raises(ShapeError, match="block_out_channels"):
        next(run(studio, Job.of(foreign, subject=subject, structure=photo(4))))
    assert calls == []


def test_a_missing_net_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="mini-canny"):
        load_control("no-such-net")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_control(tmp_path)
    with pytest.raises(CheckpointError, match="nothing is fetched"):
        load_control("nobody/no-such-net")


@pytest.mark.parametrize("changes", [{}, {"fingerprint": "0" * 16}], ids=str)
@pytest.mark.parametrize("name", ["x" * 70_000, "x" * 300, "a/" * 3000], ids=len)
def test_a_name_that_no_file_system_takes_is_a_missing_net(studio, subject, name, changes):
    control = ControlSettings(control=name, preprocessor="none", **changes)
    for request, inputs in (
        (StylizeRequest(**DRAWING, controls=(control,)), {"subject": subject}),
        (EditRequest(source="dog", from_prompt=True, controls=(control,)), {}),
    ):
        with pytest.raises(CheckpointError):
            next(run(studio, Job.of(request, structure=photo(4), **inputs)))


def test_a_pipelines_folder_lends_its_net(net, tmp_path):
    (tmp_path / "controlnet").symlink_to(net)
    assert torch.equal(
        load_control(tmp_path).controlnet_mid_block.weight, load_control(net).controlnet_mid_block.weight
    )


def test_the_command_draws_and_repeats(blipdiff, model, dog, net, tmp_path):
    photo(4).save(tmp_path / "sofa.png")
    drawn = blipdiff(
        "stylize", "--model", model, "--subject", dog, "--category", "dog", "--structure", tmp_path / "sofa.png",
        "--control", net, "--preprocessor", "canny", "--preprocessor", "soft-edge",
        "--map", "low=20,high=50", "--map", "",
        "--strength", 0.7, "--strength", 0.3, "--stop", 0.8, "--start", 0.1, "--structure-fit", "pad", "--guess",
        "--subject-strength", 0.9, "--subject-start", 0.1, "--subject-stop", 0.9, "--blocks", "look",
        "--target", "cat", "--steps", 2, "--count", 1, "--seed", 3, "--size", "16", "--control", net,
    )  # fmt: skip
    assert drawn.code == 0, drawn.err
    again = blipdiff("stylize", "--model", model, "--like", drawn.pictures[0], "--output", "again", "--control", net)
    assert again.code == 0, again.err
    first, second = (np.asarray(Image.open(one.pictures[0])) for one in (drawn, again))
    assert np.array_equal(first, second)
    told = read_metadata(drawn.pictures[0])["job"]["request"]
    assert told["controls"][1]["preprocessor"] == "soft-edge" and told["controls"][1]["strength"] == 0.3


def test_the_command_previews_a_map_and_lists_what_there_is(blipdiff, dog):
    made = blipdiff("preprocess", dog, "--preprocessor", "scribble", "--map", "detail=0.9", "--size", "64x32")
    assert made.code == 0 and Image.open("map.png").size == (64, 32)
    listed = blipdiff("preprocess", "--list")
    assert "canny:" in listed.out and "low=100" in listed.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stylize", "--subject", "DOG", "--category", "dog"], "No structure was given"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "DOG", "--strength", "3"], "from 0 to 2"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "DOG", "--start", "0.9", "--stop", "0.1"],
         "0.9 to 0.1"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "DOG", "--map", "low"], "low=50"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "DOG", "--control", "no-such"], "no-such"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "DOG", "--stop", "1", "--stop", "1"],
         "2 times for 1"),
        (["stylize", "--subject", "DOG", "--category", "dog", "--structure", "none.png"], "no picture at"),
        (["preprocess", "DOG", "--preprocessor", "pose"], "pose"),
        (["preprocess", "DOG", "--output", "map.jpg"], "map.jpg"),
        (["preprocess"], "--list"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(blipdiff, model, dog, arguments, says):
    given = [str(dog) if one == "DOG" else one for one in arguments]
    ended = blipdiff(*given, *(("--model", model) if "stylize" in given else ()))
    assert ended.code == 2 and says in ended.err and "Traceback" not in ended.err
    assert not list(Path().rglob("*.png"))


def test_details_of_the_look_are_read_under_a_structure_and_repeat_bit_for_bit(studio, asked, net, tmp_path):
    image = photo(0, (32, 32)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda level: 255 * (level > 127)))
    look = SubjectPhoto(image, "dog")
    plain, detailed = (pictures(studio, asked({"detail": detail}), look)[0] for detail in (0.0, 0.8))
    assert (np.asarray(plain.image) != np.asarray(detailed.image)).any()
    unread = pictures(studio, asked({"detail": 0.8, "detail_start": 1.0}), look)[0]
    assert (np.asarray(plain.image) == np.asarray(unread.image)).all()
    kept = detailed.job["inputs"]["subject"][0]
    assert kept["cut_out"] and "cut_out" not in plain.job["inputs"]["subject"][0]
    path = save_picture(detailed, tmp_path / "dog.png")
    (again,) = pictures_in(run(Studio(studio.model, folders=[net]), repeat(path)))
    assert (np.asarray(again.image) == np.asarray(detailed.image)).all()
