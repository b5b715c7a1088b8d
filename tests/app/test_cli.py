"""The command line as a person uses it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints import load_model, save_model
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.ranges import AS_CONFIGURED, SCHEDULER_NAMES
from pipelines.metadata import read_metadata
from pipelines.pictures import SOURCE_TYPE, XMP_KEY
from tests.support.command_line import Command
from tests.support.tiny_models import PIXELS, photo, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

ROOT = Path(__file__).parents[2]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture
def generate(blipdiff: Command, model: Path, dog: Path) -> Command:
    """generate("--seed", 7): a short run of the tiny model, with the dog unless there is another subject."""

    def run(*arguments: object):
        subject = () if {"--subject", "--like"} & set(arguments) else ("--subject", dog, "--category", "dog")
        short = () if {"--steps", "--like"} & set(arguments) else ("--steps", 2)
        return blipdiff("generate", "--model", model, *subject, *short, *arguments)

    return run


def test_pictures_are_saved_named_by_category_and_seed_and_their_paths_printed(generate: Command) -> None:
    ended = generate("--prompt", "on a beach", "--count", 3, "--seed", 7, "--output", "new/folder")
    assert (ended.code, ended.err) == (0, "")
    assert ended.pictures == [Path(f"new/folder/dog-{seed}.png") for seed in (7, 8, 9)]
    pictures = [pixels(path) for path in ended.pictures]
    assert all(picture.shape == (PIXELS, PIXELS, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    assert [path.name for path in Path("new/folder").iterdir() if path.suffix != ".png"] == []


def test_json_prints_one_object_and_nothing_else(generate: Command) -> None:
    ended = generate("--json", "--count", 2, "--seed", 5, "--prompt", "beach " * 40)
    assert (ended.code, ended.err) == (0, "")
    assert ended.answer["pictures"] == [{"path": f"outputs/dog-{seed}.png", "seed": seed} for seed in (5, 6)]
    assert len(ended.answer["notices"]) == 1
    assert "longer than the model can read" in ended.answer["notices"][0]


def test_a_notice_goes_to_the_other_stream_than_the_paths(generate: Command) -> None:
    ended = generate("--count", 1, "--prompt", "beach " * 40)
    assert "longer than the model can read" in ended.err
    assert len(ended.pictures) == 1


def test_without_a_seed_every_run_has_its_own(generate: Command) -> None:
    seeds = {generate("--json", "--count", 1).answer["pictures"][0]["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_a_picture_depends_on_its_seed_and_not_on_its_place_in_the_run(generate: Command) -> None:
    together = generate("--count", 3, "--seed", 7, "--dtype", "float32").pictures
    alone = generate("--count", 1, "--seed", 9, "--dtype", "float32", "--output", "alone").pictures
    one_by_one = generate("--count", 3, "--seed", 7, "--batch", 1, "--dtype", "float32", "--output", "batch").pictures
    assert np.abs(pixels(together[2]).astype(int) - pixels(alone[0])).max() <= 1
    for one, other in zip(together, one_by_one, strict=True):
        assert np.abs(pixels(one).astype(int) - pixels(other)).max() <= 1


def test_nothing_is_ever_overwritten(generate: Command) -> None:
    first, second = (generate("--count", 1, "--seed", 7).pictures[0] for _ in range(2))
    assert (first.name, second.name) == ("dog-7.png", "dog-7-2.png")
    assert np.array_equal(pixels(first), pixels(second))


@pytest.mark.parametrize("name", [*SCHEDULER_NAMES, AS_CONFIGURED])
def test_every_scheduler_draws_and_repeats_its_picture(name: str, generate: Command) -> None:
    path = generate("--scheduler", name, "--count", 1, "--seed", 3, "--steps", 4).pictures[0]
    assert read_metadata(path)["job"]["request"]["scheduler"] == name
    again = generate("--like", path, "--output", "again").pictures[0]
    assert np.array_equal(pixels(path), pixels(again))


def test_every_option_changes_the_picture(generate: Command, tmp_path: Path) -> None:
    photo(1).save(tmp_path / "other.png")
    plain = pixels(generate("--count", 1, "--seed", 1, "--steps", 4).pictures[0])
    for number, options in enumerate(
        [
            ("--prompt", "in the snow"),
            ("--target", "tiger"),
            ("--negative", "beach"),
            ("--guidance", 2),
            ("--guidance-start", 0.5),
            ("--guidance-stop", 0.5),
            ("--scheduler", "euler-a"),
            ("--steps", 9),
            ("--fit", "crop"),
            ("--repeats", 5),
            ("--subject", tmp_path / "other.png", "--category", "dog"),
        ]
    ):
        steps = () if "--steps" in options else ("--steps", 4)
        ended = generate("--count", 1, "--seed", 1, *steps, *options, "--output", f"changed-{number}")
        assert ended.code == 0, ended.err
        assert not np.array_equal(plain, pixels(ended.pictures[0])), options


def test_a_model_names_the_guidance_where_nobody_else_does(generate: Command, tmp_path: Path) -> None:
    save_model(replace(tiny_model(), guidance=2.5), tmp_path / "own")
    for options, scale in (((), 2.5), (("--guidance", 7.5), 7.5)):
        path = generate("--model", tmp_path / "own", "--count", 1, "--steps", 1, *options).pictures[0]
        assert read_metadata(path)["job"]["request"]["guidance"] == scale


@pytest.mark.parametrize(("text", "size"), [("32x16", (32, 16)), ("16X24", (16, 24)), ("24", (24, 24))])
def test_the_size_is_width_by_height(text: str, size: tuple[int, int], generate: Command) -> None:
    path = generate("--size", text, "--count", 1).pictures[0]
    assert Image.open(path).size == size


def test_a_card_stands_for_its_photo(blipdiff: Command, generate: Command, model: Path, dog: Path) -> None:
    made = blipdiff("encode", dog, "--category", "dog", "--model", model, "--output", "dog.safetensors", "--json")
    assert made.code == 0, made.err
    card = SubjectEmbedding.load("dog.safetensors")
    told = {"card": "dog.safetensors", "category": "dog", "model": card.fingerprint, "photo": False}
    assert {name: value for name, value in made.answer.items() if name != "notices"} == told
    assert "The card keeps no photo to read details from." in made.answer["notices"][0]
    assert card.thumbnail is not None
    from_photo = generate("--count", 1, "--seed", 2).pictures[0]
    from_card = generate("--count", 1, "--seed", 2, "--subject", "dog.safetensors").pictures[0]
    assert from_card.name == "dog-2-2.png", "a card knows its category"
    assert np.array_equal(pixels(from_photo), pixels(from_card))


def test_encode_names_the_card_by_its_category_and_overwrites_none(blipdiff: Command, model: Path, dog: Path) -> None:
    names = [blipdiff("encode", dog, "--category", "my dog", "--model", model).out.strip() for _ in range(2)]
    assert names == ["my-dog.safetensors", "my-dog-2.safetensors"]


def test_several_subjects_are_averaged_by_their_weights(generate: Command, tmp_path: Path, dog: Path) -> None:
    photo(1).save(tmp_path / "other.png")

    def draw(*subjects: object) -> np.ndarray:
        return pixels(
            generate(*subjects, "--category", "dog", "--seed", 1, "--count", 1, "--dtype", "float32").pictures[0]
        )

    both = ("--subject", dog, "--subject", tmp_path / "other.png")
    first, second = draw("--subject", dog), draw("--subject", tmp_path / "other.png")
    even = draw(*both)
    assert not np.array_equal(even, first)
    assert not np.array_equal(even, second)
    assert np.array_equal(draw(*both, "--weight", 3, "--weight", 0), first)
    assert np.array_equal(draw(*both, "--weight", 0, "--weight", 0.1), second)
    assert np.array_equal(draw(*both, "--weight", 5, "--weight", 5), even)


def test_photos_and_cards_go_together(blipdiff: Command, generate: Command, model: Path, dog: Path) -> None:
    assert blipdiff("encode", dog, dog, "--category", "dog", "--model", model).code == 0
    mixed = generate("--subject", "dog.safetensors", "--subject", dog, "--category", "dog", "--seed", 1, "--count", 1)
    alone = generate("--seed", 1, "--count", 1, "--output", "alone")
    assert mixed.code == 0, mixed.err
    assert np.abs(pixels(mixed.pictures[0]).astype(int) - pixels(alone.pictures[0])).max() <= 2


def test_the_file_carries_what_made_it(generate: Command) -> None:
    path = generate("--prompt", "on a beach", "--negative", "snow", "--seed", 4, "--count", 2).pictures[1]
    found = read_metadata(path)
    request = found["job"]["request"]
    assert (request["prompt"], request["negative"], request["category"]) == ("on a beach", "snow", "dog")
    assert (found["seed"], found["job"]["index"], request["seed"], request["count"]) == (5, 1, 4, 2)
    info = Image.open(path).info
    assert SOURCE_TYPE in str(info[XMP_KEY])
    assert "Negative prompt: snow" in str(info["parameters"])


def test_without_metadata_only_the_mark_of_generated_pictures_stays(generate: Command) -> None:
    path = generate("--no-metadata", "--prompt", "a secret", "--count", 1).pictures[0]
    info = Image.open(path).info
    assert "blipdiff" not in info
    assert "parameters" not in info
    assert SOURCE_TYPE in str(info[XMP_KEY])
    assert b"secret" not in path.read_bytes()


def test_half_precision_on_a_processor_is_drawn_with_a_word(generate: Command) -> None:
    ended = generate("--count", 1, "--steps", 1, "--device", "cpu", "--dtype", "float16")
    assert ended.code == 0, ended.err
    assert "float16 is slow" in ended.err
    assert "Warning" not in ended.err


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_like_repeats_the_third_picture_of_a_batch_bit_for_bit(dtype: str, generate: Command) -> None:
    asked = ("--prompt", "on a beach", "--count", 4, "--seed", 11, "--scheduler", "euler-a", "--dtype", dtype)
    third = generate(*asked).pictures[2]
    ended = generate("--like", third, "--output", "again", "--json")
    assert ended.answer["pictures"] == [{"path": "again/dog-13.png", "seed": 13}]
    again = Path("again/dog-13.png")
    assert np.array_equal(pixels(third), pixels(again))
    assert read_metadata(again) == read_metadata(third)


def test_like_needs_neither_the_photo_nor_the_first_run(
    generate: Command, dog: Path, blipdiff: Command, model: Path
) -> None:
    path = generate("--count", 5, "--batch", 2, "--seed", 1, "--target", "tiger", "--size", "24x16").pictures[4]
    dog.unlink()
    again = generate("--like", path, "--output", "again").pictures[0]
    assert np.array_equal(pixels(path), pixels(again))
    third = generate("--like", again, "--output", "third").pictures[0]
    assert np.array_equal(pixels(path), pixels(third))


def test_the_environment_gives_defaults_and_options_win(
    blipdiff: Command, model: Path, dog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_MODEL", str(model))
    monkeypatch.setenv("BLIPDIFF_OUTPUT", "elsewhere")
    asked = ("generate", "--subject", dog, "--category", "dog", "--steps", 2, "--count", 1, "--seed", 1)
    assert blipdiff(*asked).pictures == [Path("elsewhere/dog-1.png")]
    assert blipdiff(*asked, "--output", "here").pictures == [Path("here/dog-1.png")]
    assert blipdiff(*asked, "--model", "nowhere").code == 2


def test_convert_there_and_back_changes_no_weight(blipdiff: Command, model: Path) -> None:
    there = blipdiff("convert", model, "lavis", "--to", "lavis")
    assert (there.code, there.out) == (0, "lavis\n"), there.err
    assert Path("lavis/blip_model").is_dir()
    back = blipdiff("convert", "lavis", "back", "--vocabulary", model / "qformer_tokenizer", "--configs-from", model)
    assert back.code == 0, back.err
    first, last = load_model(model, dtype="stored"), load_model("back", dtype="stored")
    assert first.identity == last.identity
    for part in ("subject_encoder", "text_encoder", "unet", "vae"):
        weights = getattr(last, part).state_dict()
        for name, weight in getattr(first, part).state_dict().items():
            assert weight.equal(weights[name]), name


def test_convert_changes_the_precision_of_every_network(blipdiff: Command, model: Path) -> None:
    assert blipdiff("convert", model, "half", "--dtype", "bfloat16").code == 0
    half = load_model("half", dtype="stored")
    for net in (half.subject_encoder, half.text_encoder, half.unet, half.vae):
        assert {str(weight.dtype) for weight in net.parameters()} == {"torch.bfloat16"}


def test_doctor_tells_versions_device_and_kernels(blipdiff: Command) -> None:
    ended = blipdiff("doctor", "--json")
    assert ended.code == 0, ended.err
    assert set(ended.answer) == {"System", "Packages", "Runs on", "Bundled model"}
    assert {"device", "dtype", "attention", "OpenVINO"} <= set(ended.answer["Runs on"])
    assert "not installed" not in ended.answer["Packages"]["torch"]
    assert "torch" in blipdiff("doctor").out


def test_help_names_every_command_and_its_options(blipdiff: Command) -> None:
    ended = blipdiff("--help")
    assert ended.code == 0
    for command in ("generate", "encode", "convert", "train", "evaluate", "doctor", "ui"):
        assert command in ended.out
        assert blipdiff(command, "--help").code == 0
    assert "--guidance-start" in blipdiff("generate", "--help").out


def test_the_installed_program_draws_and_fails_with_the_right_exit_codes(model: Path, dog: Path) -> None:
    def program(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app", "generate", "--model", model, "--subject", dog, "--output", dog.parent]
        return subprocess.run(
            [*map(str, command), *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
        )

    drawn = program("--category", "dog", "--count", 1, "--steps", 2, "--seed", 1, "--json")
    assert drawn.returncode == 0, drawn.stderr
    assert Path(json.loads(drawn.stdout)["pictures"][0]["path"]).is_file()
    failed = program("--prompt", "on a beach")
    assert failed.returncode == 2
    assert failed.stderr == "blipdiff: Say what dog.png shows with --category: dog, teapot, jacket.\n"
