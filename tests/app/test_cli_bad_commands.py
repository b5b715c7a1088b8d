"""What convert, encode, train and evaluate refuse, and what this machine may lack."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.refusals import assert_refused, files_below

pytest_plugins = ["tests.support.command_fixtures"]


# The other commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "onnx"), "choose diffusers or lavis"),
        (("--dtype", "int8"), "The dtype 'int8' is not known"),
        (("--vocabulary", "nowhere"), "vocab"),
    ],
)
def test_convert_refuses_what_it_does_not_know(
    arguments: tuple[str, ...], words: str, blipdiff: Command, model: Path
) -> None:
    assert_refused(blipdiff("convert", model, "new", *arguments), words)


def test_convert_refuses_a_model_that_is_not_there(blipdiff: Command, tmp_path: Path) -> None:
    assert_refused(blipdiff("convert", "nowhere", "new"), "There is no model at nowhere")
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    assert_refused(blipdiff("convert", tmp_path / "model.tar.gz", "new"), "is damaged")
    (tmp_path / "model.pth").write_bytes(b"no checkpoint")
    assert_refused(blipdiff("convert", tmp_path / "model.pth", "new"), "Give the model that it was trained from")


def test_encode_refuses_weights_that_are_not_its_photos(blipdiff: Command, model: Path, dog: Path) -> None:
    asked = ("encode", dog, dog, "--category", "dog", "--model", model, "--output", "dog.safetensors")
    assert_refused(blipdiff(*asked, "--weight", 1), "2 subjects were given with 1 weights")
    assert_refused(blipdiff(*asked, "--weight", 1, "--weight", "nan"), "each must be 0 or more")
    assert_refused(blipdiff(*asked[:1], dog, *asked[5:]), "--category")


def test_export_without_a_training_says_so_and_fetches_nothing(blipdiff: Command) -> None:
    ended = blipdiff("train", "mini", "--run", "run", "--export-only")
    assert_refused(ended, "There is no trained state in run; train first")


def test_train_refuses_a_recipe_that_is_none(blipdiff: Command, tmp_path: Path) -> None:
    assert_refused(
        blipdiff("train", "nothing", "--run", "run"),
        "No training recipe at nothing: give a TOML file, or one of: describe, describe-further, full/detail, "
        "full/stage1, full/stage2, mini",
    )
    recipe = tmp_path / "recipe.toml"
    for text, words in (
        ("name = ", "is not valid TOML"),
        ("colour = 1", "unknown keys ['colour']"),
        ('name = "x"\nseed = "y"', "lacks"),
    ):
        recipe.write_text(text)
        assert_refused(blipdiff("train", recipe, "--run", "run"), words)
    assert_refused(blipdiff("train", tmp_path, "--run", "run"), "No training recipe at")


def test_evaluate_refuses_a_folder_without_a_library(blipdiff: Command, model: Path, tmp_path: Path) -> None:
    assert_refused(blipdiff("evaluate", "--data", tmp_path, "--model", model), "holds no complete library")
    assert_refused(blipdiff("evaluate", "--data", tmp_path / "none", "--model", model), "holds no complete library")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--subjects", 0), "is 0; it goes from"),
        (("--steps", 0), "is 0; it goes from 1"),
        (("--seed", -1), "is -1; it goes from 0"),
        (("--guidance", "nan"), "is nan; it goes from"),
        (("--split", "everything"), "is 'everything'; choose one of"),
    ],
)
def test_evaluate_names_values_out_of_range(
    arguments: tuple[object, ...], words: str, blipdiff: Command, tmp_path: Path
) -> None:
    assert_refused(blipdiff("evaluate", "--data", tmp_path, *arguments), words)


def test_a_switch_in_the_environment_that_is_none_is_refused(
    blipdiff: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_DOWNLOAD", "maybe")
    assert_refused(blipdiff("doctor"), "BLIPDIFF_DOWNLOAD is 'maybe'")


# This machine


def program(prelude: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, after some lines of Python."""
    code = f"{prelude}\nimport sys\nfrom app.cli.main import run_blipdiff\nsys.exit(run_blipdiff())"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_too_little_memory_is_said(model: Path, dog: Path, tmp_path: Path) -> None:
    limit = "import resource, torch, diffusers, transformers, pipelines.studio"
    limit += "\nused = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()"
    limit += "\nresource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)"
    asked = ("generate", "--model", model, "--subject", dog, "--category", "dog", "--steps", 1, "--size", "512x512")
    asked += ("--count", 1, "--dtype", "float32", "--output", tmp_path / "out")
    ended = program(limit, *asked)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1] == (
        "blipdiff: There is too little memory for this; try a smaller --batch, --size or --dtype."
    )
    assert "Traceback" not in ended.stderr
    assert files_below(tmp_path / "out") == []


def test_a_package_that_only_some_commands_need_is_asked_for(tmp_path: Path) -> None:
    lacking = "import sys\nsys.modules['resvg_py'] = None\nimport app.cli.runs.train as runs"
    lacking += "\nruns.train = lambda **asked: __import__('resvg_py')"
    ended = program(lacking, "train", "--run", tmp_path / "run")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == "blipdiff: This needs resvg_py: pip install 'blipdiff[train]'.\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("generate", "dog.jpg"), "dog.jpg stands alone; write it behind its option: --subject dog.jpg."),
        (("edit", "sofa.png", "--from", "cat"), "write it behind its option: --source sofa.png."),
        (("generate", "@Rex"), "--subject @Rex."),
        (("grid", "generate", "dog.jpg", "--x", "steps=2"), "--subject dog.jpg."),
        (("generate", "--prompt", "on", "a", "beach"), "'a' stands alone, behind no option; a text of several words"),
        (("generate", "dog\x1b.jpg"), "dog\\x1b.jpg stands alone"),
    ],
)
def test_a_word_that_stands_alone_is_told_where_it_belongs(
    blipdiff: Command, command: tuple[str, ...], words: str
) -> None:
    ended = blipdiff(*command)
    assert ended.code == 2
    assert words in ended.err.replace("\n", " ")
    assert "unexpected extra argument" not in ended.err
