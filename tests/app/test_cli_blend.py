"""`blipdiff blend` and `blipdiff scene` as a person uses them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from pipelines.results import read_metadata

from tests.support.command_line import Command, with_metadata
from tests.support.tiny_models import PIXELS, photo

pytest_plugins = ["tests.support.command_fixtures"]


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


@pytest.mark.parametrize(
    "asked",
    [
        ("--frames", 7, "--batch", 3, "--prompt-to", "in the snow", "--film", "none"),
        ("--shape", "one", "--weight", 1.1, "--weight", -0.1, "--how", "spherical", "--beyond", 0.2),
    ],
    ids=["path", "one"],
)
def test_every_frame_is_drawn_again_bit_for_bit(blipdiff: Command, two: tuple[object, ...], model: Path, asked) -> None:
    first = blipdiff("blend", *two, *asked, "--json").answer["pictures"]
    for made in first:
        again = blipdiff("blend", "--like", made["path"], "--model", model, "--output", "again", "--json")
        assert again.code == 0, again.err
        (found,) = again.answer["pictures"]
        assert (found["shares"], found["position"]) == (made["shares"], made["position"])
        with Image.open(made["path"]) as one, Image.open(found["path"]) as other:
            assert one.tobytes() == other.tobytes()
        assert read_metadata(made["path"]) == read_metadata(found["path"])


def test_a_frame_that_cannot_be_drawn_again_is_refused(
    blipdiff: Command, two: tuple[object, ...], model: Path, tmp_path: Path
) -> None:
    drawn = blipdiff("blend", *two, "--shape", "one", "--json").answer["pictures"][0]["path"]
    like = ("blend", "--model", model, "--like")
    assert "leave out --frames" in blipdiff(*like, drawn, "--frames", 3).err
    assert "repeat it with that command's --like" in blipdiff("generate", "--model", model, "--like", drawn).err
    assert "repeat it with the command that made it" in blipdiff("scene", "--model", model, "--like", drawn).err
    told = read_metadata(drawn)
    for altered, sentence in (
        ({"subjects": None}, "lacks the blend's subjects"),
        ({"subjects": ["?", "?"]}, "it cannot be repeated"),
        ({"shares": [1.0]}, "2 subjects have 1 shares"),
        ({"company": [["?"]]}, "shares cannot be read"),
        ({"company": []}, "not among those"),
        ({"task": "edit"}, "is no blend"),
    ):
        request = {**told["request"], **altered}
        path = with_metadata(tmp_path / "altered.png", json.dumps({**told, "request": request}))
        ended = blipdiff(*like, path)
        assert (ended.code, sentence in ended.err) == (2, True), ended.err


def test_without_an_mp4_encoder_the_film_is_a_webp_and_a_sentence_says_so(
    blipdiff: Command, two: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sheets.find_spec", lambda name: None)
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


def test_without_regions_subjects_stand_side_by_side(blipdiff: Command, two: tuple[object, ...]) -> None:
    drawn = blipdiff("scene", *two, *PROMPT, "--json").answer["pictures"][0]["path"]
    request = read_metadata(drawn)["request"]
    assert request["regions"] == {"dog": [0, 0, 0.5, 1], "tiger": [0.5, 0, 1, 1]}
    with Image.open(drawn) as picture:
        assert picture.size == (2 * PIXELS, PIXELS)  # a box each of the model's own size
    boxed = blipdiff("scene", *two, *PROMPT, *BOXES, "--size", f"{2 * PIXELS}x{PIXELS}", "--json")
    with Image.open(drawn) as one, Image.open(boxed.answer["pictures"][0]["path"]) as other:
        assert one.tobytes() == other.tobytes()
    small = blipdiff("scene", *two, *PROMPT, "--size", PIXELS, "--json").answer["pictures"][0]["path"]
    with Image.open(small) as picture:
        assert picture.size == (PIXELS, PIXELS)


def test_regions_are_found_on_request(blipdiff: Command, two: tuple[object, ...]) -> None:
    ended = blipdiff("scene", *two, *PROMPT, "--arrange", "found", "--find-until", 0.5, "--json")
    request = read_metadata(ended.answer["pictures"][0]["path"])["request"]
    assert request["regions"] == {"dog": "found", "tiger": "found"}


@pytest.mark.parametrize("kind", ["boxes", "mask", "row", "found", "structure"])
def test_a_scene_is_drawn_again_bit_for_bit(
    blipdiff: Command, two: tuple[object, ...], model: Path, dog: Path, controlnet: Path, tmp_path: Path, kind: str
) -> None:
    left = Image.new("L", (20, 20))
    left.paste(255, (0, 0, 10, 20))
    left.save(tmp_path / "left.png")
    regions: dict[str, tuple[object, ...]] = {
        "boxes": BOXES,
        "mask": ("--mask", f"dog={tmp_path / 'left.png'}", "--box", "tiger=0.5,0,1,1"),
        "row": (),
        "found": ("--arrange", "found", "--find-until", 0.5),
        "structure": (*BOXES, "--structure", dog, "--control", controlnet, "--preprocessor", "none"),
    }
    made = blipdiff("scene", *two, *PROMPT, *regions[kind], "--count", 3, "--batch", 2, "--json").answer["pictures"]
    assert len(made) == 3
    for one in made[1:]:
        net = ("--control", controlnet) if kind == "structure" else ()  # pictures name nets, not their folders
        again = blipdiff("scene", "--like", one["path"], "--model", model, "--output", "again", "--json", *net)
        assert again.code == 0, again.err
        (found,) = again.answer["pictures"]
        assert found["seed"] == one["seed"]
        with Image.open(one["path"]) as first, Image.open(found["path"]) as second:
            assert first.tobytes() == second.tobytes()
        assert read_metadata(one["path"]) == read_metadata(found["path"])


def test_a_scene_that_cannot_be_drawn_again_is_refused(
    blipdiff: Command, two: tuple[object, ...], model: Path, tmp_path: Path
) -> None:
    drawn = blipdiff("scene", *two, *PROMPT, *BOXES, "--json").answer["pictures"][0]["path"]
    like = ("scene", "--model", model, "--like")
    assert "leave out --box" in blipdiff(*like, drawn, *BOXES[:2]).err
    told = read_metadata(drawn)
    for altered, sentence in (
        ({"task": "blend"}, "is no scene"),
        ({"subjects": {"dog": "?", "tiger": "?"}}, "it cannot be repeated"),
        ({"subjects": ["dog"]}, "subjects cannot be read"),
        ({"regions": {"dog": [0, 0, 1]}}, "no region for 'dog'"),
        ({"regions": {"dog": "painted", "tiger": "painted"}}, "too large for the metadata"),
        ({"regions": {"dog": "painted"}, "painted": {"dog": "?"}}, "painted mask in the metadata is damaged"),
        ({"seed": 77}, "not among the request's"),
        ({"controls": [{}]}, ""),
    ):
        request = {**told["request"], **altered}
        path = with_metadata(tmp_path / "altered.png", json.dumps({**told, "request": request}))
        ended = blipdiff(*like, path)
        assert (ended.code, sentence in ended.err) == (2, True), ended.err


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
