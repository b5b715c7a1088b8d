"""What is written names no place of the machine that made it."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.controls import load_control, save_control
from blipdiff.errors import CheckpointError
from pipelines.controls.found import found_control, told_control, untold_nets
from pipelines.controls.settings import ControlSettings
from pipelines.metadata import read_metadata
from pipelines.pictures import Picture, save_picture
from tests.support.command_line import Command
from tests.support.tiny_models import photo, tiny_controlnet

pytest_plugins = ["tests.support.command_fixtures"]

SECRET = "client-4711"
UNTOLD = "does not say which weights"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    folder = tmp_path / SECRET / "our-net"
    save_control(tiny_controlnet(), folder)
    return folder


@pytest.fixture
def sofa(tmp_path: Path) -> Path:
    photo(4, (32, 32)).save(tmp_path / "sofa.png")
    return tmp_path / "sofa.png"


def tells(path: Path) -> bool:
    """Whether a file holds the secret, openly or compressed as in a PNG's texts."""
    content = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            content += json.dumps(picture.info, default=str).encode()
    return SECRET.encode() in content or zlib.compress(SECRET.encode())[2:-6] in content


def drawn(blipdiff: Command, task: str, *arguments: object) -> list[Path]:
    ended = blipdiff(task, *arguments, "--seed", 1, "--count", 1, "--steps", 1, "--output", "out", "--json")
    assert ended.code == 0, ended.err
    return sorted(Path("out").rglob("*.png"))


@pytest.mark.parametrize("task", ["stylize", "edit", "scene"])
def test_a_picture_names_its_net_without_its_place_and_repeats(
    task: str, blipdiff: Command, model: Path, dog: Path, net: Path, sofa: Path, tmp_path: Path
) -> None:
    control = ("--model", model, "--structure", sofa, "--control", net, "--preprocessor", "tile")
    asked = {
        "stylize": ("--subject", dog, "--category", "dog"),
        "edit": ("--source", sofa, "--from", "sofa", "--to", "dog", "--subject", dog),
        "scene": ("--prompt", "a {cat} and a {dog}", "--subject", f"cat={dog}", "--subject", f"dog={dog}"),
    }[task]
    first, *others = drawn(blipdiff, task, *asked, *control)
    assert not any(map(tells, (first, *others)))
    told = read_metadata(first)["job"]["request"]
    (one,) = told["controls"]
    assert (one["control"], len(one["fingerprint"])) == ("our-net", 16)

    like = (task, "--model", model, "--like", first, *(("--source", sofa) if task == "edit" else ()))
    ended = blipdiff(*like)
    assert (ended.code, "the control net 'our-net'" in ended.err, "--control" in ended.err) == (2, True, True)
    other = tmp_path / "other" / "our-net"
    save_control(tiny_controlnet(2), other)
    ended = blipdiff(*like, "--control", other)
    assert (ended.code, "is another one" in ended.err) == (2, True)
    wanted = np.asarray(Image.open(first))
    places = ("by the option", "beside the picture", "in a folder here")
    for place in places if task == "stylize" else places[:1]:
        added = ("--control", net) if place == "by the option" else ()
        if place == "beside the picture":
            save_control(load_control(net), first.parent / "our-net")
        elif place == "in a folder here":
            (first.parent / "our-net").rename(Path("our-net"))
        ended = blipdiff(*like, *added, "--output", place)
        assert ended.code == 0, ended.err
        assert UNTOLD not in ended.err
        again = next(Path(place).glob(f"{first.stem}.png"))
        assert np.array_equal(np.asarray(Image.open(again)), wanted)
        assert not tells(again)
    old = with_place(first, net, tmp_path / "old.png")
    like = (task, "--model", model, "--like", old, *(("--source", sofa) if task == "edit" else ()))
    ended = blipdiff(*like, "--output", "untold")
    assert (ended.code, UNTOLD in ended.err) == (0, True)


def test_a_bundled_net_is_told_by_its_fingerprint_and_an_untold_one_is_noticed() -> None:
    settings = ControlSettings(control="mini-canny")
    told = told_control(settings)
    assert (told.control, len(told.fingerprint or "")) == ("mini-canny", 16)
    assert found_control(told) == "mini-canny"
    assert list(untold_nets([told, ControlSettings(control="lllyasviel/sd-controlnet-canny")])) == []
    with pytest.raises(CheckpointError, match="mini-canny is another one"):
        found_control(replace(told, fingerprint="0" * 16))
    (notice,) = untold_nets([settings, replace(settings, control="/home/me/our-net"), settings])
    assert notice.startswith("The picture does not say which weights the control nets mini-canny, our-net had;")


def test_a_picture_that_still_tells_a_place_repeats_and_forgets_it(
    blipdiff: Command, model: Path, dog: Path, net: Path, sofa: Path, tmp_path: Path
) -> None:
    arguments = ("--model", model, "--subject", dog, "--category", "dog", "--structure", sofa, "--control", net)
    (first,) = drawn(blipdiff, "stylize", *arguments, "--preprocessor", "tile")
    old = with_place(first, net, tmp_path / "old.png")
    assert tells(old)
    ended = blipdiff("stylize", "--model", model, "--like", old, "--output", "again")
    assert (ended.code, "does not say which weights the control net 'our-net' had" in ended.err) == (0, True)
    (again,) = Path("again").iterdir()
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(first)))
    assert not tells(again)
    net.rename(tmp_path / "moved")
    ended = blipdiff("stylize", "--model", model, "--like", old, "--output", "moved")
    assert (ended.code, "'our-net'; give its folder with --control" in ended.err) == (2, True)
    assert blipdiff("stylize", "--model", model, "--like", old, "--control", tmp_path / "moved").code == 0


def with_place(picture: Path, net: Path, path: Path) -> Path:
    """The picture as earlier versions wrote it."""
    from PIL.PngImagePlugin import PngInfo

    found = read_metadata(picture)
    (control,) = found["job"]["request"]["controls"]
    del control["fingerprint"]
    control["control"] = str(net)
    info = PngInfo()
    info.add_text("blipdiff", json.dumps(found))
    Image.open(picture).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("layout", ["diffusers", "lavis"])
def test_a_model_that_is_converted_forgets_where_it_lay_and_where_it_came_from(
    layout: str, blipdiff: Command, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / SECRET / "model"
    blipdiff("convert", model, source)
    for name in ("unet/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"):
        told = json.loads((source / name).read_text())
        told |= {"_name_or_path": str(source / "unet"), "from": rf"C:\{SECRET}\unet"}
        (source / name).write_text(json.dumps(told))
    assert blipdiff("convert", source, "copy", "--to", layout).code == 0
    assert [path for path in Path("copy").rglob("*") if path.is_file() and tells(path)] == []
    assert load_model("copy").subject_fingerprint == load_model(model).subject_fingerprint


def test_a_card_a_film_and_a_grid_name_no_place(blipdiff: Command, model: Path, tmp_path: Path) -> None:
    place = tmp_path / SECRET
    place.mkdir()
    photo(0).save(place / "dog.png")
    assert blipdiff("encode", place / "dog.png", "--category", "dog", "--model", model).code == 0
    asked = ("--subject", f"dog={place / 'dog.png'}", "--subject", f"cat={place / 'dog.png'}")
    assert blipdiff("blend", *asked, "--model", model, "--frames", 2, "--steps", 1).code == 0
    written = [path for path in Path().rglob("*") if path.is_file()]
    assert len(written) == 5
    assert not any(map(tells, written))


def test_saving_forgets_a_place_whoever_put_it_there(made: tuple[Path, Path], tmp_path: Path) -> None:
    told = {"prompt": "/a/path is a prompt", "controls": [{"control": f"/home/{SECRET}/net", "map_weights": "a/b"}]}
    picture = Picture(Image.new("RGB", (8, 8)), 0, {"request": told}, {"name": "model"})
    found = read_metadata(save_picture(picture, tmp_path / "a.png"))["job"]["request"]
    assert found == {"prompt": "/a/path is a prompt", "controls": [{"control": "net", "map_weights": "a/b"}]}
