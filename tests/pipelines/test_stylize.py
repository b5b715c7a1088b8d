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
from pipelines.requests import GenerateRequest
from pipelines.results import Picture, read_metadata, save_picture
from pipelines.studio import Studio
from pipelines.stylize import Stylist, map_of, structure_size
from pipelines.stylize_request import ControlSettings, StylizeRequest, told_request
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

DRAWING = GenerateRequest(category="dog", prompt="on a beach", steps=3, count=1, scheduler="ddim")


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture(scope="module")
def stylist() -> Stylist:
    return Stylist(Studio(tiny_model()))


@pytest.fixture(scope="module")
def subject(stylist):
    return stylist.studio.subject([SubjectPhoto(photo(0), "dog")])


@pytest.fixture
def asked(net):
    """asked(strength=0.5): a request with one control of these settings, and its own values under `own`."""

    def request(own=None, drawing=DRAWING, controls=1, **settings) -> StylizeRequest:
        control = ControlSettings(control=str(net), preprocessor="tile", map_settings={"factor": 2}, **settings)
        return StylizeRequest(drawing=drawing, controls=(control,) * controls, **(own or {}))

    return request


def pictures(stylist, request, subject, structure=None) -> list[Picture]:
    maps = stylist.maps(request, [structure or photo(4)])
    return [event for event in stylist.run(request, subject, maps) if isinstance(event, Picture)]


def pixels(stylist, request, subject, structure=None) -> np.ndarray:
    return np.asarray(pictures(stylist, request, subject, structure)[0].image).astype(int)


def test_the_picture_takes_the_structures_aspect(stylist):
    model = stylist.studio.model
    assert structure_size(model, DRAWING, Image.new("RGB", (400, 100))) == (32, 8)
    assert structure_size(model, DRAWING, Image.new("RGB", (90, 90))) == (16, 16)
    wide = GenerateRequest(category="dog", width=32)
    assert structure_size(model, wide, Image.new("RGB", (200, 100))) == (32, 16)


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


def test_a_structure_changes_the_picture_and_strength_zero_is_generating(stylist, subject, asked):
    same_size = photo(4, (32, 32))
    plain = next(event for event in stylist.studio.run(DRAWING, subject) if isinstance(event, Picture))
    assert np.array_equal(pixels(stylist, asked(strength=0.0), subject, same_size), np.asarray(plain.image))
    assert not np.array_equal(pixels(stylist, asked(), subject, same_size), np.asarray(plain.image))


def test_two_halves_equal_one_whole(stylist, subject, asked):
    halves = pixels(stylist, asked(strength=0.5, controls=2), subject)
    assert np.abs(halves - pixels(stylist, asked(strength=1.0), subject)).max() <= 1


def test_the_subject_can_be_weakened_windowed_and_kept_to_its_look(stylist, subject, asked):
    whole, none = pixels(stylist, asked(), subject), pixels(stylist, asked({"subject_strength": 0.0}), subject)
    other = stylist.studio.subject([SubjectPhoto(photo(9), "dog")])
    assert not np.array_equal(whole, pixels(stylist, asked(), other))
    ways = [{"subject_strength": 0.5}, {"subject_stop": 0.5}, {"blocks": "look"}]
    found = [pixels(stylist, asked(own), subject) for own in ways]
    assert all(not np.array_equal(one, whole) and not np.array_equal(one, none) for one in found)


def test_a_stylized_picture_repeats_itself_from_its_file(stylist, subject, asked, tmp_path):
    request = asked({"subject_strength": 0.8}, GenerateRequest(**_some(count=3, batch=2, seed=5)))
    made = pictures(stylist, request, subject)
    assert [one.seed for one in made] == [5, 6, 7]
    path = save_picture(made[1], tmp_path / "made.png")
    again = [event for event in stylist.repeat(read_metadata(path)) if isinstance(event, Picture)]
    assert [one.seed for one in again] == [6]
    assert np.array_equal(np.asarray(again[0].image), np.asarray(made[1].image))
    assert again[0].metadata() == made[1].metadata()


def _some(**others):
    return {"category": "dog", "steps": 2, "scheduler": "ddim", **others}


@pytest.mark.parametrize("told", [{"task": "scene", "scene": {}}, {"task": "blend", "subjects": []}, {}])
def test_a_picture_of_another_task_is_said_to_be_one(stylist, told):
    metadata = {"model": stylist.studio.model.identity.told(), "request": told, "seed": 0}
    with pytest.raises(ConfigError, match="not made by stylizing; repeat it with the command that made it"):
        next(stylist.repeat(metadata))


def test_a_request_survives_its_metadata(asked):
    drawing = replace(DRAWING, guidance=3.0)  # metadata tell the one that a picture was drawn at
    request = asked({"blocks": "look"}, drawing, strength=0.3, start=0.1)
    assert told_request(request.told()) == request
    with pytest.raises(ConfigError, match="not made by stylizing"):
        told_request({"category": "dog"})
    with pytest.raises(ConfigError, match="damaged"):
        told_request({"category": "dog", "stylize": {"controls": [{"surprise": 1}]}})


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
        StylizeRequest(drawing=DRAWING, controls=())
    with pytest.raises(ConfigError, match="Subject strength"):
        asked({"subject_strength": -0.1})
    with pytest.raises(ConfigError):
        asked({"subject_start": 0.6, "subject_stop": 0.5})


def test_a_net_of_another_model_is_refused_before_anything_is_drawn(stylist, subject, asked, tmp_path):
    from diffusers import ControlNetModel

    config = {**tiny_controlnet().config, "block_out_channels": (16, 16)}
    save_control(ControlNetModel.from_config(config), tmp_path / "wide")
    request = asked()
    foreign = StylizeRequest(
        drawing=DRAWING, controls=(ControlSettings(control=str(tmp_path / "wide"), preprocessor="none"),)
    )
    with pytest.raises(ShapeError, match="block_out_channels"):
        next(stylist.run(foreign, subject, stylist.maps(request, [photo(4)])))


def test_a_missing_net_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="mini-canny"):
        load_control("no-such-net")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_control(tmp_path)
    with pytest.raises(CheckpointError, match="nothing is fetched"):
        load_control("nobody/no-such-net")


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
    told = read_metadata(drawn.pictures[0])["request"]["stylize"]
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
