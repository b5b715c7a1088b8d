"""LoRAs, embeddings, a VAE and another base from the command line: drawn with, told, asked for again, merged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.cli.commands import declared
from app.jobs.workshop import Machine
from blipdiff.errors import CheckpointError
from pipelines.metadata import read_metadata
from pipelines.task import tasks
from tests.support.brought import (
    factors,
    sd_tensors,
    vectors,
    write_checkpoint,
    write_embedding,
    write_kohya,
)
from tests.support.command_line import Command
from tests.support.refusals import assert_refused
from tests.support.tiny_models import tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

FAST = ("--steps", 2, "--count", 1, "--seed", 3)


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what a person has."""
    place, other = tmp_path_factory.mktemp("brought"), tiny_model(1)
    told = {"modelspec.trigger_phrase": "chalk drawing"}
    write_kohya(factors(tiny_model()), place / "chalk.safetensors", told)
    write_embedding(place / "bad.pt", vectors())
    write_checkpoint(sd_tensors(other), place / "original.safetensors")
    write_checkpoint(sd_tensors(other, 0.1), place / "dreamy.safetensors")
    return place


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_all_of_them_change_the_picture_and_repeat_it(
    generate: Command, blipdiff: Command, model: Path, brought: Path
) -> None:
    plain = generate(*FAST, "--output", "plain").pictures[0]
    added = (
        *("--lora", f"{brought / 'chalk.safetensors'}:0.8", "--embedding", f"{brought / 'bad.pt'}=<bad>"),
        *("--vae", brought / "dreamy.safetensors", "--base", brought / "dreamy.safetensors"),
        *("--original", brought / "original.safetensors", "--base-strength", 0.9, "--base-strength", "up_blocks.1=0.5"),
    )
    ended = generate(*FAST, "--negative", "<bad>", "--output", "other", *added)
    assert ended.code == 0, ended
    assert "LoRA chalk knows the words: chalk drawing." in ended.err
    assert (pixels(ended.pictures[0]) != pixels(plain)).any()
    parts = read_metadata(ended.pictures[0])["model"]["parts"]
    names = {"LoRA chalk at 0.8", "embedding <bad>", "base dreamy at 0.9, up_blocks.1=0.5"}
    assert names <= set(parts)
    assert str(brought) not in str(read_metadata(ended.pictures[0]))
    again = blipdiff("generate", "--model", model, "--like", ended.pictures[0], "--output", "again", *added)
    assert again.code == 0, again
    assert (pixels(again.pictures[0]) == pixels(ended.pictures[0])).all()
    assert_refused(
        blipdiff("generate", "--model", model, "--like", ended.pictures[0], "--output", "none"),
        "LoRA chalk at 0.8",
        written=Path("none"),
    )
    assert "kept in float32" not in ended.err + again.err


def test_what_a_picture_was_drawn_with_is_found_in_the_folders_of_files(
    generate: Command, blipdiff: Command, model: Path, brought: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--lora", f"{brought / 'chalk.safetensors'}:0.8", "--embedding", f"{brought / 'bad.pt'}=<bad>")
    picture = generate(*FAST, "--negative", "<bad>", "--output", "first", *given).pictures[0]
    command = ("generate", "--model", model, "--like", picture, "--output")
    assert_refused(blipdiff(*command, "none"), "put it into the folder of your files", written=Path("none"))
    monkeypatch.setenv("BLIPDIFF_FILES", str(brought))
    again = blipdiff(*command, "again")
    assert again.code == 0, again
    assert (pixels(again.pictures[0]) == pixels(picture)).all()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--lora", "chalk.safetensors:strong", "is no number; write it as NAME:0.8"),
        ("--lora", "bad.pt", "an embedding for Stable Diffusion"),
        ("--lora", "none.safetensors", "There is no LoRA at"),
        ("--embedding", "chalk.safetensors", "an embedding for Stable Diffusion 1.5 was expected"),
        ("--embedding", "bad.pt=dog", "is the model's own already"),
        ("--vae", "chalk.safetensors", "a VAE for Stable Diffusion 1.5 was expected"),
        ("--base", "chalk.safetensors", "a checkpoint of Stable Diffusion 1.5 was expected"),
        ("--base", "dreamy.safetensors", "give its folder, file or hub id with --original"),
        ("--base-strength", "5", "a strength goes from 0"),
    ],
)
def test_what_does_not_fit_is_answered_in_a_sentence(
    generate: Command, brought: Path, option: str, value: str, words: str
) -> None:
    given = ("--base", brought / "dreamy.safetensors") if option == "--base-strength" else ()
    value = value if option == "--base-strength" else str(brought / value)
    assert_refused(generate(*FAST, "--output", "none", *given, option, value), words)


def test_marks_in_prompts_are_read_unless_they_are_off(generate: Command) -> None:
    plain, heavy, off = (
        generate(*FAST, "--prompt", prompt, "--output", folder, *more).pictures[0]
        for prompt, folder, more in (
            ("on a beach", "a", ()),
            ("on a (beach:3) {subject:2}", "b", ()),
            ("on a (beach:3) {subject:2}", "c", ("--weighting", "off")),
        )
    )
    assert (pixels(heavy) != pixels(plain)).any()
    assert (pixels(heavy) != pixels(off)).any()
    assert read_metadata(heavy)["job"]["request"]["weighting"] == "a1111"


def test_merge_writes_a_model_that_draws(
    blipdiff: Command, models: Callable[[int], Path], dog: Path, brought: Path
) -> None:
    given = ("--model", models(0), "--original", brought / "original.safetensors", "--strength", "0.7")
    ended = blipdiff("merge", brought / "dreamy.safetensors", "merged", *given)
    assert ended.code == 0, ended
    assert "dreamy came under this licence: not told" in ended.err
    drawn = blipdiff(
        "generate", "--model", "merged", "--subject", dog, "--category", "dog", *FAST, "--output", "pictures"
    )
    assert drawn.code == 0, drawn
    ended = blipdiff("merge", brought / "chalk.safetensors", "other", *given)
    assert_refused(ended, "a LoRA for Stable Diffusion 1.5", written=Path("other"))


@pytest.mark.parametrize("name", [*tasks(), "matrix", "ui"])
def test_every_command_that_draws_takes_them(name: str) -> None:
    command = declared(name)
    wanted = {"--lora", "--embedding", "--vae", "--base", "--original", "--base-strength"}
    wanted |= {"--ip-adapter", "--ip-image", "--ip-encoder", "--safety"}
    for one in (getattr(command, "commands", None) or {name: command}).values():  # a grid has one for each task
        assert wanted <= {flag for param in one.params for flag in param.opts}


def test_the_page_is_opened_with_them(
    blipdiff: Command, model: Path, brought: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines: list[Machine] = []
    monkeypatch.setattr("app.cli.runs.ui.launch", lambda machine, *_, **__: machines.append(machine))
    ended = blipdiff(
        "ui", "--model", model, "--lora", brought / "chalk.safetensors", "--embedding", brought / "bad.pt=<x>"
    )
    assert ended.code == 0, ended
    opened = machines[0].opened(str(model), "cpu")
    assert [one.part for one in opened.model.additions] == ["LoRA chalk at 1", "embedding <x>"]
    assert blipdiff("ui", "--model", model, "--lora", brought / "bad.pt").code == 0  # the page opens, and says it
    with pytest.raises(CheckpointError, match="an embedding for Stable Diffusion"):
        machines[1].opened(str(model), "cpu")
