"""Pictures enlarged, drawn anew, varied and cut out from the command line."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_a_picture_is_enlarged_from_its_own_file_and_drawn_again(
    blipdiff: Command, model: Path, made: tuple[Path, Path]
) -> None:
    ended = blipdiff("upscale", "--picture", made[0], "--model", model, "--steps", 3, "--times", 2, "--seed", 4)
    assert ended.code == 0, ended.err
    (path,) = ended.pictures
    assert picture(path).shape == (32, 32, 3)
    again = blipdiff("upscale", "--like", path, "--model", model)
    assert np.array_equal(picture(again.pictures[0]), picture(path))
    plain = blipdiff("upscale", "--picture", made[0], "--model", model, "--method", "plain", "--json")
    assert plain.answer["pictures"][0]["seed"] == 3


def test_a_region_is_drawn_anew_and_a_background_removed(
    blipdiff: Command, model: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 8))
    mask.save(tmp_path / "mask.png")
    ended = blipdiff(
        "redraw", "--picture", made[0], "--mask", tmp_path / "mask.png", "--model", model, "--steps", 3, "--json"
    )
    assert ended.code == 0, ended.err
    (told,) = ended.answer["pictures"]
    assert np.array_equal(picture(told["path"])[8:], picture(made[0])[8:])
    flower = Image.new("RGB", (40, 40), "white")
    flower.paste((200, 0, 0), (10, 10, 30, 30))
    flower.save(tmp_path / "flower.png")
    ended = blipdiff("remove-background", "--picture", tmp_path / "flower.png", "--model", model, "--json")
    (told,) = ended.answer["pictures"]
    assert (told["way"], told["sure"], told["share"]) == ("plain ground", True, 0.25)
    assert picture(told["path"]).shape == (40, 40, 4)


def test_variations_are_asked_for_and_what_is_missing_is_said(
    generate: Command, blipdiff: Command, model: Path, dog: Path
) -> None:
    ended = generate("--seed", 7, "--variation", 0.2, "--variation-seed", 9, "--count", 2)
    assert [path.name for path in ended.pictures] == ["dog-7-varied-9.png", "dog-7-varied-10.png"]
    told = blipdiff("upscale", "--picture", dog, "--model", model)
    assert told.code == 2
    assert "does not say what it was made of" in told.err
    assert "No picture was given; add --picture." in blipdiff("upscale", "--model", model).err
