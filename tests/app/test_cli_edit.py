"""`blipdiff edit` and `blipdiff attend` as a person uses them, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.sampling.predictor import GuidedPredictor
from pipelines.metadata import read_metadata
from pipelines.pictures import EDITED_PHOTO_TYPE, SOURCE_TYPE, XMP_KEY
from tests.support.command_line import Command, Ended
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]

SWAP = ("--from", "dog", "--to", "tiger", "--prompt", "on a beach")
PARTS = ("path", "before", "mask", "maps")


def pixels(path: object) -> np.ndarray:
    return np.asarray(Image.open(str(path)))


@pytest.fixture
def edit(blipdiff: Command, model: Path) -> Command:
    """edit("--from-prompt"): a short edit by the tiny model."""

    def run(*arguments: object) -> Ended:
        short = () if {"--steps", "--like"} & set(arguments) else ("--steps", 3)
        return blipdiff("edit", "--model", model, *short, *arguments)

    return run


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A photo to edit, of a size that no model has."""
    photo(5, (53, 37)).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_a_generated_picture_is_edited_for_every_seed(edit: Command, dog: Path) -> None:
    ended = edit(*SWAP, "--from-prompt", "--subject", dog, "--seed", 7, "--count", 2, "--size", "24x16", "--json")
    assert ended.code == 0, ended.err
    first, second = ended.answer["pictures"]
    assert first["path"] == "outputs/dog-to-tiger-7.png"
    assert (first["seed"], second["seed"], first["source"]) == (7, 8, None)
    for name in PARTS[:3]:
        assert Image.open(first[name]).size == (24, 16)
    assert not np.array_equal(pixels(first["path"]), pixels(first["before"]))
    assert not np.array_equal(pixels(first["before"]), pixels(second["before"]))
    for name in PARTS:
        assert read_metadata(first[name])["job"]["request"]["target"] == "tiger"
    assert SOURCE_TYPE in str(Image.open(first["path"]).info[XMP_KEY])


def test_photos_keep_their_size_and_what_is_outside_the_painted_mask(edit: Command, dog: Path, scene: Path) -> None:
    other = scene.with_name("other.png")
    photo(6, (53, 37)).save(other)
    painted = Image.new("L", (53, 37))
    painted.paste(255, (0, 0, 10, 37))
    painted.save("painted.png")
    own = ("--mask", "painted.png", "--mask-use", "alone", "--keep-background")
    ended = edit(*SWAP, "--source", scene, "--source", other, "--subject", dog, *own, "--json")
    assert ended.code == 0, ended.err
    first, second = ended.answer["pictures"]
    assert (first["source"], second["source"]) == ("scene", "other")
    assert np.array_equal(pixels(first["before"]), pixels(scene))
    after = pixels(first["path"])
    assert np.array_equal(after[:, 30:], pixels(scene)[:, 30:])
    assert not np.array_equal(after[:, :8], pixels(scene)[:, :8])
    assert EDITED_PHOTO_TYPE in str(Image.open(first["path"]).info[XMP_KEY])
    assert XMP_KEY not in Image.open(first["before"]).info, "nothing in the photo itself is generated"


def test_like_repeats_an_edit_of_a_seed_and_of_a_photo_bit_for_bit(edit: Command, dog: Path, scene: Path) -> None:
    asked = (*SWAP, "--subject", dog, "--strength", 0.8, "--guidance", 3)
    second = edit(*asked, "--from-prompt", "--seed", 7, "--count", 2, "--json").answer["pictures"][1]
    again = edit("--like", second["path"], "--output", "again", "--json").answer["pictures"][0]
    assert np.array_equal(pixels(second["path"]), pixels(again["path"]))
    Image.new("L", (53, 37), 90).save("painted.png")
    made = edit(*asked, "--source", scene, "--mask", "painted.png", "--json").answer["pictures"][0]
    again = edit("--like", made["path"], "--source", scene, "--output", "again", "--json").answer["pictures"][0]
    for name in PARTS:
        assert np.array_equal(pixels(made[name]), pixels(again[name])), name


def test_options_of_the_edit_reach_the_picture(edit: Command, dog: Path) -> None:
    base = (*SWAP, "--from-prompt", "--seed", 1)
    plain = pixels(edit(*base, "--no-local-blend").out.split()[0])
    changed = [
        ("--subject", dog),
        ("--strength", 1),
        ("--cross-stop", 0),
        ("--word-weights", "beach: 3"),
        ("--method", "replace"),
        ("--target-prompt", "in the snow"),
        ("--guidance", 2),
    ]
    for number, options in enumerate(changed):
        ended = edit(*base, "--no-local-blend", *options, "--output", f"changed-{number}")
        assert ended.code == 0, ended.err
        assert not np.array_equal(plain, pixels(ended.out.split()[0])), options


def test_attend_draws_the_picture_of_generate_and_its_maps(blipdiff: Command, model: Path, dog: Path) -> None:
    asked = ("--model", model, "--subject", dog, "--category", "dog", "--prompt", "on a beach", "--steps", 2)
    asked += ("--seed", 3, "--dtype", "float32")
    ended = blipdiff("attend", *asked, "--each")
    assert ended.code == 0, ended.err
    names = [path.name for path in ended.pictures]
    assert names[:3] == ["dog-3.png", "dog-3-maps.png", "dog-3-map-1-the-subject.png"]
    assert names[-1] == "dog-3-map-6-beach.png"
    drawn = blipdiff("generate", *asked, "--count", 1, "--output", "plain").pictures[0]
    assert np.abs(pixels(drawn).astype(int) - pixels(ended.pictures[0])).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SWAP,), "give a photo to edit"),
        ((*SWAP, "--from-prompt", "--source", "SCENE"), "an edit has one source"),
        (("--from-prompt", "--to", "tiger"), "name what is in the picture"),
        ((*SWAP, "--from-prompt", "--focus", "sofa"), "does not hold 'sofa'"),
        ((*SWAP, "--from-prompt", "--method", "replace", "--to", "big cat"), "same structure"),
        ((*SWAP, "--from-prompt", "--mask", "WHITE"), "The mask is 53 x 37 pixels, the picture 16 x 16"),
        ((*SWAP, "--from-prompt", "--mask", "BLACK", "--size", "53x37"), "makes multiples of 2"),
        ((*SWAP, "--source", "SCENE", "--mask", "BLACK"), "mask is empty"),
        ((*SWAP, "--source", "SCENE", "--mask", "SCENE"), "mask is a coloured picture"),
        ((*SWAP, "--source", "SCENE", "--scheduler", "dpm++2m"), "cannot invert"),
        ((*SWAP, "--source", "SCENE", "--source", "STRIP"), "strip: The photo is 90 x 10 pixels"),
        ((*SWAP, "--source", "SCENE", "--count", 2), "a photo has no seeds"),
        ((*SWAP, "--source", "SCENE", "--blend-level", 5), "not at 5"),
        ((*SWAP, "--source", "nowhere.png"), "There is no picture at nowhere.png"),
        ((*SWAP, "--from-prompt", "--strength", 2), "Edit strength is 2"),
        (("--like", "SCENE"), "carries no settings"),
    ],
)
def test_bad_input_is_one_sentence_before_any_denoising(
    arguments: tuple[object, ...], words: str, edit: Command, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the U-Net was called")

    monkeypatch.setattr(GuidedPredictor, "__call__", refuse)
    Image.new("L", (53, 37)).save(scene.with_name("black.png"))
    Image.new("L", (53, 37), 255).save(scene.with_name("white.png"))
    Image.new("RGB", (90, 10)).save(scene.with_name("strip.png"))
    files = {
        "SCENE": scene,
        "WHITE": scene.with_name("white.png"),
        "BLACK": scene.with_name("black.png"),
        "STRIP": scene.with_name("strip.png"),
    }
    ended = edit(*(files.get(str(one), one) for one in arguments))
    assert ended.code == 2, ended
    assert ended.err.startswith("blipdiff: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert words in ended.err
    assert not list(Path().rglob("*.png"))


def test_like_wants_the_same_photo_and_nothing_beside_it(
    edit: Command, blipdiff: Command, model: Path, scene: Path, made: tuple[Path, Path]
) -> None:
    path = edit(*SWAP, "--source", scene).out.split()[0]
    other = scene.with_name("other.png")
    photo(8, (53, 37)).save(other)
    for arguments, words in [
        (("--like", path), "made of the photo scene"),
        (("--like", path, "--source", other), "its pixels differ"),
        (("--like", path, "--source", scene, "--strength", 0.5), "leave out --strength"),
        (("--like", made[0]), "was made by generate"),
    ]:
        ended = edit(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert words in ended.err
    ended = blipdiff("generate", "--like", path, "--model", model)
    assert ended.code == 2
    assert "was made by edit" in ended.err


def test_an_edit_follows_structures_and_like_repeats_them_bit_for_bit(
    edit: Command, dog: Path, scene: Path, controlnet: Path
) -> None:
    asked = (*SWAP, "--subject", dog, "--seed", 7, "--from-prompt", "--json")
    settings = ("--control", controlnet, "--preprocessor", "canny", "--map", "low=50,high=120")
    settings += ("--control-strength", 0.8, "--control-start", 0, "--control-stop", 0.9, "--structure-fit", "squash")
    plain = edit(*asked).answer["pictures"][0]
    ended = edit(*asked, "--structure", scene, *settings)
    assert ended.code == 0, ended.err
    led = ended.answer["pictures"][0]
    assert not np.array_equal(pixels(plain["path"]), pixels(led["path"]))
    again = edit("--like", led["path"], "--control", controlnet, "--output", "again", "--json").answer["pictures"][0]
    assert np.array_equal(pixels(led["path"]), pixels(again["path"]))
    told = read_metadata(again["path"])["job"]["request"]["controls"][0]
    assert (told["strength"], told["stop"], told["map_settings"]) == (0.8, 0.9, {"low": 50.0, "high": 120.0})


def test_a_photo_is_edited_under_its_own_structure(edit: Command, dog: Path, scene: Path, controlnet: Path) -> None:
    asked = (*SWAP, "--subject", dog, "--source", scene, "--source", dog, "--json")
    plain = edit(*asked).answer["pictures"]
    led = edit(*asked, "--control", controlnet, "--preprocessor", "none", "--control-strength", 2).answer["pictures"]
    for one, other in zip(plain, led, strict=True):
        assert np.array_equal(pixels(one["before"]), pixels(other["before"]))
        assert not np.array_equal(pixels(one["path"]), pixels(other["path"]))


def test_a_second_photo_that_cannot_be_edited_is_told_before_the_first_is_drawn(
    edit: Command, scene: Path, controlnet: Path
) -> None:
    long = scene.with_name("long.png")
    photo(6, (400, 20)).save(long)
    ended = edit(*SWAP, "--source", scene, "--source", long, "--control", controlnet, "--preprocessor", "none")
    assert (ended.code, ended.out) == (2, "")
    assert "four times" in ended.err or "at most 4 times" in ended.err
    assert not list(Path("outputs").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from-prompt", "--control", "mini-canny"), "--structure"),
        (("--from-prompt", "--control-strength", 0.5), "--structure"),
        (("--source", "SCENE", "--control", "nowhere/net"), "nowhere/net"),
        (("--source", "SCENE", "--control", "mini-canny"), "another model"),
        (("--source", "SCENE", "--control-start", 0.8, "--control-stop", 0.2), "0.8"),
        (
            ("--source", "SCENE", "--control-strength", 1, "--control-strength", 2),
            "--control-strength was given 2 times",
        ),
    ],
)
def test_a_structure_that_cannot_be_followed_is_refused(
    edit: Command, scene: Path, arguments: tuple[object, ...], told: str
) -> None:
    ended = edit(*SWAP, *(scene if one == "SCENE" else one for one in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
