"""`blipdiff blend` and `blipdiff scene` as a person uses them."""

from pathlib import Path

import pytest
from PIL import Image

from pipelines.results import read_metadata
from tests.pipelines.command_line import Command
from tests.pipelines.tiny_models import PIXELS, photo

pytest_plugins = ["tests.pipelines.command_fixtures"]


@pytest.fixture
def tiger(tmp_path: Path) -> Path:
    photo(1).save(tmp_path / "tiger.png")
    return tmp_path / "tiger.png"


@pytest.fixture
def two(model: Path, dog: Path, tiger: Path) -> tuple[object, ...]:
    return ("--model", model, "--steps", 2, "--subject", f"dog={dog}", "--subject", f"tiger={tiger}", "--seed", 3)


def test_a_path_is_written_as_pictures_a_grid_and_films(blipdiff: Command, two: tuple[object, ...]) -> None:
    ended = blipdiff("blend", *two, "--frames", 4, "--film", "gif", "--film", "webp", "--loop", "round")
    assert (ended.code, ended.err) == (0, "")
    names = [path.name for path in ended.pictures]
    endings = ("-1.png", "-2.png", "-3.png", "-4.png", "-grid.png", ".gif", ".webp")
    assert names == [f"dog-tiger-3{ending}" for ending in endings]
    told = read_metadata(ended.pictures[0])["request"]
    assert (told["task"], told["shares"], told["categories"]) == ("blend", [1.0, 0.0], ["dog", "tiger"])
    with Image.open(ended.pictures[-1]) as film:
        assert film.is_animated


def test_every_option_of_a_blend_is_reached(blipdiff: Command, two: tuple[object, ...]) -> None:
    common = ("--guidance", 3, "--guidance-start", 0.1, "--guidance-stop", 0.9, "--scheduler", "ddim", "--size", 16)
    words = ("--prompt", "on a beach", "--negative", "snow", "--words", "joined", "--how", "spherical", "--repeats", 2)
    ended = blipdiff(
        "blend", *two, *common, *words, "--prompt-to", "in the snow", "--target", "teapot", "--beyond", 0.2,
        "--spacing", "even", "--frames", 3, "--batch", 2, "--fit", "crop",
        "--film", "none", "--per-second", 5, "--json",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert [picture["position"] for picture in ended.answer["pictures"]] == pytest.approx([-0.2, 0.5, 1.2])
    assert len(ended.answer["distances"]) == 2
    assert ended.answer["film"] == []


def test_one_picture_has_its_weights_and_a_map_its_side(
    blipdiff: Command, two: tuple[object, ...], made: tuple[Path, Path]
) -> None:
    ended = blipdiff("blend", *two, "--shape", "one", "--weight", 3, "--weight", 1, "--json")
    assert [picture["shares"] for picture in ended.answer["pictures"]] == [[0.75, 0.25]]
    ended = blipdiff("blend", *two, "--subject", made[1], "--shape", "map", "--side", 2, "--json")
    assert len(ended.answer["pictures"]) == 3
    assert len(ended.answer["grid"]) == 1


def test_without_an_mp4_encoder_the_film_is_a_webp_and_a_sentence_says_so(
    blipdiff: Command, two: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.animation.find_spec", lambda name: None)
    ended = blipdiff("blend", *two, "--frames", 2, "--film", "mp4", "--json")
    assert ended.code == 0
    assert "PyAV" in ended.answer["notices"][0] and ".webp instead" in ended.answer["notices"][0]
    assert Path(ended.answer["film"][0]).suffix == ".webp"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shape", "map"), "3 to 4 subjects"),
        (("--film", "avi"), "webp, gif, mp4, none"),
        (("--film", "gif", "--shape", "one"), "Only a path"),
        (("--loop", "forth"), "there and back"),
        (("--weight", "nan", "--weight", 1, "--shape", "one"), "nan"),
        (("--weight", 1, "--weight", 1), "own weights"),
        (("--how", "cubic"), "linear, spherical, dealt"),
        (("--subject", "nothing.png"), "Say what nothing.png shows"),
    ],
)
def test_a_blend_that_cannot_be_is_refused(blipdiff: Command, two: tuple[object, ...], arguments, told: str) -> None:
    ended = blipdiff("blend", *two, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


BOXES = ("--box", "dog=0,0,0.5,1", "--box", "tiger=0.5,0,1,1")
PROMPT = ("--prompt", "a {dog} and a {tiger} on a beach")


def test_a_scene_is_drawn_with_a_subject_in_each_region(
    blipdiff: Command, two: tuple[object, ...], tmp_path: Path
) -> None:
    every = ("--negative", "snow", "--count", 2, "--guidance", 3, "--guidance-start", 0.1, "--guidance-stop", 0.9)
    every += ("--scheduler", "ddim", "--size", "32x16", "--fit", "crop", "--softness", 0.1, "--batch", 1)
    every += ("--regions-start", 0, "--regions-stop", 1, "--own-frame-until", 0.7)
    ended = blipdiff(
        "scene", *two, *PROMPT, *BOXES, *every, "--regions-start", 0, "--regions-stop", 1, "--own-frame-until", 0.7
    )
    assert (ended.code, ended.err) == (0, "")
    assert [path.name for path in ended.pictures] == ["dog-tiger-3.png", "dog-tiger-4.png"]
    with Image.open(ended.pictures[0]) as picture:
        assert picture.size == (32, PIXELS)
    left = Image.new("L", (20, 20))
    left.paste(255, (0, 0, 10, 20))
    left.save(tmp_path / "left.png")
    mixed = ("--mask", f"dog={tmp_path / 'left.png'}", "--box", "tiger=0.5,0,1,1")
    assert len(blipdiff("scene", *two, *PROMPT, *mixed, "--json").answer["pictures"]) == 1


def test_a_scene_follows_a_structure(blipdiff: Command, two: tuple[object, ...], dog: Path, controlnet: Path) -> None:
    plain = blipdiff("scene", *two, *PROMPT, *BOXES, "--json").answer["pictures"][0]["path"]
    net = ("--structure", dog, "--control", controlnet, "--preprocessor", "none")
    ended = blipdiff("scene", *two, *PROMPT, *BOXES, *net, "--json")
    assert ended.code == 0, ended.err
    led = ended.answer["pictures"][0]["path"]
    assert Image.open(plain).tobytes() != Image.open(led).tobytes()
    assert read_metadata(led)["request"]["controls"][0]["preprocessor"] == "none"


def test_regions_that_are_not_given_are_found(blipdiff: Command, two: tuple[object, ...]) -> None:
    ended = blipdiff("scene", *two, *PROMPT, "--find-until", 0.5, "--json")
    request = read_metadata(ended.answer["pictures"][0]["path"])["request"]
    assert request["regions"] == {"dog": "found", "tiger": "found"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*PROMPT, "--box", "dog=0,0,1,1", "--box", "tiger=0.5,0,1,1"), "overlap"),
        ((*PROMPT, "--box", "dog=0,0,0.5"), "left,top,right,bottom"),
        ((*PROMPT, "--box", "0,0,0.5,1"), "WORD="),
        ((*PROMPT, *BOXES, "--box", "dog=0,0,0.5,1"), "two regions"),
        ((*PROMPT, "--box", "lion=0,0,0.5,1"), "no subject is bound"),
        (("--prompt", "a {dog} and a {dog}", *BOXES), "bound twice"),
        (("--prompt", "a {dog}"), "no {tiger}"),
        (("--prompt", "a dog"), "braces"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(blipdiff: Command, two: tuple[object, ...], arguments, told: str) -> None:
    ended = blipdiff("scene", *two, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
