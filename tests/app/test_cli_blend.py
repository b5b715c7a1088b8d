"""`blipdiff blend` and `blipdiff scene` as a person uses them."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.metadata import read_metadata
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
    told = read_metadata(ended.pictures[0])["job"]
    words = [one["word"] for one in told["inputs"]["subject"]]
    assert (told["task"], told["detail"]["spot"][0], words) == ("blend", [1.0, 0.0], ["dog", "tiger"])
    with Image.open(ended.pictures[-1]) as film:
        assert film.is_animated


def test_every_option_of_a_blend_is_reached(blipdiff: Command, two: tuple[object, ...]) -> None:
    common = ("--guidance", 3, "--guidance-start", 0.1, "--guidance-stop", 0.9, "--scheduler", "ddim", "--size", 16)
    words = (
        "--prompt",
        "on a beach",
        "--negative",
        "snow",
        "--categories",
        "joined",
        "--how",
        "spherical",
        "--repeats",
        2,
    )
    ended = blipdiff(
        "blend", *two, *common, *words, "--prompt-to", "in the snow", "--target", "teapot", "--extrapolation", 0.2,
        "--spacing", "even", "--frames", 3, "--batch", 2, "--fit", "crop",
        "--film", "none", "--per-second", 5, "--json",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert [picture["position"] for picture in ended.answer["pictures"]] == pytest.approx([-0.2, 0.5, 1.2])
    distances = [picture["distance"] for picture in ended.answer["pictures"]]
    assert (distances[0] > 0, distances[1] > 0, distances[2]) == (True, True, None)
    assert "film" not in ended.answer
    assert len(ended.answer["grid"]) == 1


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
        ("--shape", "one", "--weight", 1.1, "--weight", -0.1, "--how", "spherical", "--extrapolation", 0.2),
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
    for other in ("generate", "scene"):
        ended = blipdiff(other, "--model", model, "--like", drawn)
        assert f"was made by blend; repeat it with: blipdiff blend --like {drawn}" in ended.err
    told = read_metadata(drawn)
    detail = told["job"]["detail"]
    for altered, sentence in (
        ({"inputs": {}}, "0 were given"),
        ({"inputs": {"subject": [{"rows": "?", "category": "dog"}] * 2}}, "it cannot be repeated"),
        ({"detail": {**detail, "spot": [[1.0], None]}}, "2 subjects have 1 shares"),
        ({"detail": {**detail, "batch": [["?"]]}}, "shares cannot be read"),
        ({"detail": {**detail, "batch": []}}, "not among those"),
        ({"detail": {"spot": [[1.0, 0.0], None]}}, "lacks the blend's subjects"),
        ({"task": "painting"}, "There is no task 'painting'"),
    ):
        job = {**told["job"], **altered}
        path = with_metadata(tmp_path / "altered.png", json.dumps({**told, "job": job}))
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
        (("--how", "cubic"), "linear, spherical, token-wise"),
        (("--subject", "nothing.png"), "Say what nothing.png shows"),
    ],
)
def test_a_blend_that_cannot_be_is_refused(blipdiff: Command, two: tuple[object, ...], arguments, told: str) -> None:
    ended = blipdiff("blend", *two, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def boxes_of(picture: str) -> dict[str, Any]:
    """Where a scene's subjects stand, as its metadata tell."""
    return {one["word"]: one.get("box") for one in read_metadata(picture)["job"]["inputs"]["subject"]}


BOXES = ("--box", "dog=0,0,0.5,1", "--box", "tiger=0.5,0,1,1")
PROMPT = ("--prompt", "a {dog} and a {tiger} on a beach")


def test_a_scene_is_drawn_with_a_subject_in_each_region(
    blipdiff: Command, two: tuple[object, ...], tmp_path: Path
) -> None:
    every = ("--negative", "snow", "--count", 2, "--guidance", 3, "--guidance-start", 0.1, "--guidance-stop", 0.9)
    every += ("--scheduler", "ddim", "--size", "32x16", "--fit", "crop", "--softness", 0.1, "--batch", 1)
    every += ("--regions-start", 0, "--regions-stop", 1, "--tiles-until", 0.7)
    ended = blipdiff("scene", *two, *PROMPT, *BOXES, *every)
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
    assert read_metadata(led)["job"]["request"]["controls"][0]["preprocessor"] == "none"


def test_without_regions_subjects_stand_side_by_side(blipdiff: Command, two: tuple[object, ...]) -> None:
    drawn = blipdiff("scene", *two, *PROMPT, "--json").answer["pictures"][0]["path"]
    assert boxes_of(drawn) == {"dog": [0, 0, 0.5, 1], "tiger": [0.5, 0, 1, 1]}
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
    drawn = ended.answer["pictures"][0]["path"]
    assert read_metadata(drawn)["job"]["request"]["arrange"] == "found"
    assert boxes_of(drawn) == {"dog": None, "tiger": None}


def test_old_names_are_still_taken_with_a_word(blipdiff: Command, two: tuple[object, ...]) -> None:
    new = ("--how", "token-wise", "--categories", "joined")
    drawn = blipdiff("blend", *two, "--shape", "one", *new).pictures[0]
    old = ("--how", "dealt", "--words", "joined")
    ended = blipdiff("blend", *two, "--shape", "one", *old, "--output", "old")
    assert ended.err.splitlines() == [
        "Mixing: 'dealt' is called 'token-wise' now; both are taken.",
        "--words is called --categories now; both are taken.",
    ]
    with Image.open(drawn) as one, Image.open(ended.pictures[0]) as other:
        assert one.tobytes() == other.tobytes()
    notices = blipdiff("blend", *two, "--shape", "one", *old, "--json").answer["notices"]
    assert notices == ended.err.splitlines()
    assert "--words" not in blipdiff("blend", "--help").out.split()


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
    asked, (dog, tiger) = told["job"]["request"], told["job"]["inputs"]["subject"]
    for altered, sentence in (
        ({"inputs": {"subject": [{**dog, "rows": "?"}, tiger]}}, "it cannot be repeated"),
        ({"inputs": {"subject": ["dog"]}}, "'dog' is no input"),
        ({"inputs": {"subject": [{**dog, "box": [0, 0, 1]}, tiger]}}, "a box has four sides"),
        ({"inputs": {"subject": [{**dog, "mask": {"pixels": "0"}}, tiger]}}, "is not kept in the job"),
        ({"inputs": {"subject": [{**dog, "mask": {"picture": "?"}}, tiger]}}, "cannot be read"),
        ({"inputs": {"subject": [dog]}}, "'tiger' of the prompt has no subject"),
        ({"index": 77}, "not among the request's"),
        ({"request": {**asked, "controls": [{}]}}, "0 structures were given for 1 controls"),
    ):
        job = {**told["job"], **altered}
        path = with_metadata(tmp_path / "altered.png", json.dumps({**told, "job": job}))
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
