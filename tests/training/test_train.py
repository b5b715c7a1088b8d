"""From nothing to a checkpoint: every stage at a tiny size, stopped and started again, exported and drawn with."""

import json
import resource
import shutil
import signal
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import CheckpointError, OutputError
from blipdiff.training.config import Recipe, recipe_from
from blipdiff.training.loop import RunFolder, TrainingStep, resume_step
from pipelines import GenerateRequest, Job, Result, Studio, run
from pipelines.train.decoder import train_decoder
from pipelines.train.export import check_trained, export
from pipelines.train.parts import RunParts, prepare
from pipelines.train.reconstruction import train_reconstruction
from pipelines.train.representation import train_representation
from pipelines.train.subjects import train_subjects
from tests.support.command_line import Command, at_call
from tests.support.tiny_models import photo
from tests.training.conftest import SIDE, tiny_table

pytest_plugins = ["tests.support.command_fixtures"]

STOPPED = "blipdiff: Stopped; what was finished is kept."


@pytest.fixture(autouse=True, scope="module")
def few_pairs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.train.parts.SAMPLED_PAIRS", 48)
        yield


def train_all(parts: RunParts) -> list[list[TrainingStep]]:
    return [
        list(train_reconstruction(parts, compiled=False)),
        list(train_subjects(parts, compiled=False)),
        list(train_decoder(parts)),
    ]


@pytest.fixture(scope="module")
def finished(recipe: Recipe, library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that went through all its stages."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    stages = train_all(prepare(recipe, folder, data=library_folder))
    assert [steps[-1].index + 1 for steps in stages] == [4, 4, 4]
    return folder


def same_files(one: Path, other: Path) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    return names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file()) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


def test_a_run_goes_from_nothing_to_a_checkpoint_that_draws(
    finished: Path, recipe: Recipe, library_folder: Path, tmp_path: Path
) -> None:
    made = export(prepare(recipe, finished, data=library_folder), tmp_path / "model", name="tiny")
    loaded = load_model(tmp_path / "model", dtype="stored")
    assert loaded.subject_fingerprint == made.subject_fingerprint
    assert loaded.scheduler_config["prediction_type"] == "v_prediction"
    assert {weight.dtype for weight in loaded.unet.parameters()} == {torch.float16}
    studio = Studio.open(tmp_path / "model", device="cpu", dtype="float32")
    request = GenerateRequest(category="thing", prompt="on a beach", count=2, steps=3)
    job = Job.of(request, subject=SubjectPhoto(photo(), "thing"))
    pictures = [event.picture for event in run(studio, job, preview_every=1) if isinstance(event, Result)]
    assert [picture.image.size for picture in pictures] == [(SIDE, SIDE)] * 2
    assert np.asarray(pictures[0].image).std() > 0


def test_a_finished_run_started_again_trains_nothing_and_exports_the_same(
    finished: Path, recipe: Recipe, library_folder: Path, tmp_path: Path
) -> None:
    again = prepare(recipe, finished, data=library_folder)
    export(prepare(recipe, finished, data=library_folder), tmp_path / "first")
    assert train_all(again) == [[], [], []]
    export(again, tmp_path / "second")
    first, second = load_model(tmp_path / "first", dtype="stored"), load_model(tmp_path / "second", dtype="stored")
    for part in ("subject_encoder", "text_encoder", "unet", "vae"):
        weights = getattr(second, part).state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in getattr(first, part).state_dict().items())


def test_the_subjects_stage_begins_with_what_reconstruction_learned(
    recipe: Recipe, library_folder: Path, tmp_path: Path
) -> None:
    still = replace(recipe.subject, steps=1, learning_rate=0.0)
    parts = prepare(replace(recipe, subject=still), tmp_path / "run", data=library_folder)
    list(train_reconstruction(parts, compiled=False))
    list(train_subjects(parts, compiled=False))
    learned, begun = (load_file(parts.stage(name).state) for name in ("reconstruction", "subject"))
    encoder = [name for name in begun if name.startswith("weight.subject_encoder.")]
    assert encoder
    assert all(torch.equal(begun[name], learned[name.replace("weight", "average", 1)]) for name in encoder)


def test_the_run_begins_with_stage_1_where_the_recipe_asks_for_it(
    table: dict[str, Any], library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.train.describer.SAMPLED_CAPTIONS", 64)
    stage1 = tomllib.loads((files("blipdiff.training") / "recipes" / "describe.toml").read_text())["representation"]
    table["representation"] = stage1 | {"steps": 2, "batch": 6, "shared_width": 8}
    table["reconstruction"] |= {"steps": 1, "learning_rate": 0.0}
    parts = prepare(recipe_from(table, "tiny"), tmp_path / "run", data=library_folder)
    assert len(list(train_representation(parts, compiled=False))) == 1
    list(train_reconstruction(parts, compiled=False))
    learned, begun = (load_file(parts.stage(name).state) for name in ("representation", "reconstruction"))
    query = "query_tokens"
    assert torch.equal(begun[f"weight.subject_encoder.{query}"], learned[f"average.representation.{query}"])


def test_a_run_shows_sheets_and_curves_on_its_way_and_learns_the_same(
    table: dict[str, Any], library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.train.export.SHEET_STEPS", 2)
    states = []
    for sheets in (0, 20):
        table["subject"] |= {"steps": 21, "batch": 3, "grid_every": sheets, "min_snr": 5.0, "drop_all": 0.0}
        folder = tmp_path / f"every-{sheets}"
        parts = prepare(recipe_from(table, "tiny"), folder, data=library_folder, tensorboard=bool(sheets))
        list(train_subjects(replace(parts, save_every_seconds=-1.0), compiled=False))
        states.append(load_file(parts.stage("subject").state))
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert [path.name for path in sorted((folder / "sheets").iterdir())] == ["0000020.png"]
    assert list((folder / "subject" / "tensorboard").iterdir())


def test_the_same_recipe_prepares_the_same_parts(recipe: Recipe, library_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        prepare(recipe, tmp_path / name, data=library_folder)
    assert same_files(tmp_path / "one", tmp_path / "other")


def test_what_a_kill_left_out_is_prepared_again(recipe: Recipe, library_folder: Path, tmp_path: Path) -> None:
    for name in ("whole", "run"):
        prepare(recipe, tmp_path / name, data=library_folder)
    shutil.rmtree(tmp_path / "run" / "vae")
    (tmp_path / "run" / "tokenizer" / "merges.txt").unlink()
    parts = prepare(recipe, tmp_path / "run", data=library_folder)
    assert parts.latent_side == SIDE // 8
    assert same_files(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("lost", ["vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"])
def test_a_prepared_part_that_was_lost_is_named(
    lost: str, recipe: Recipe, library_folder: Path, tmp_path: Path
) -> None:
    prepare(recipe, tmp_path / "run", data=library_folder)
    (tmp_path / "run" / lost).unlink()
    with pytest.raises(CheckpointError, match=str(Path(lost).parent)):
        prepare(recipe, tmp_path / "run", data=library_folder)


def test_nothing_is_exported_before_something_is_trained(recipe: Recipe, library_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no trained state in"):
        check_trained(tmp_path / "run")
    parts = prepare(recipe, tmp_path / "run", data=library_folder)
    with pytest.raises(CheckpointError, match="train first"):
        export(parts, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_run_of_another_recipe_is_not_continued(
    table: dict[str, Any], finished: Path, library_folder: Path, tmp_path: Path
) -> None:
    table["model"]["width"] = 64
    wider = prepare(recipe_from(table, "wider"), finished, data=library_folder)
    with pytest.raises(CheckpointError, match=r"another model|of this size"):
        list(train_subjects(wider, compiled=False))
    with pytest.raises(CheckpointError, match="of this size"):
        export(wider, tmp_path / "model")


def test_an_export_that_cannot_be_written_leaves_nothing(
    finished: Path, recipe: Recipe, library_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        export(prepare(recipe, finished, data=library_folder), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    assert resume_step(RunFolder(finished / "subject")) == 4


def write_recipe(path: Path) -> Path:
    lines, sections = [], []
    for key, value in tiny_table().items():
        if isinstance(value, dict):
            sections += [f"[{key}]", *(f"{name} = {json.dumps(one)}" for name, one in value.items())]
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    path.write_text("\n".join([*lines, *sections]))
    return path


def test_the_command_tells_of_each_stage_and_goes_on_with_a_run(
    blipdiff: Command, library_folder: Path, tmp_path: Path
) -> None:
    asked = ("train", write_recipe(tmp_path / "tiny.toml"), "--run", "run", "--data", library_folder, "--no-compile")
    ended = blipdiff(*asked)
    assert ended.code == 0, ended.err
    assert ended.out == "run/model\nrun/sheets/final.png\n"
    assert Image.open("run/sheets/final.png").width > 100
    assert [line.split(" loss ")[0] for line in ended.err.splitlines()] == [
        f"{stage} 4/4" for stage in ("reconstruction", "subject", "decoder")
    ]
    assert load_model("run/model", dtype="stored").name == "model"
    again = blipdiff(*asked, "--export-only", "--output", "elsewhere")
    assert (again.code, again.out, again.err) == (0, "elsewhere\n", "")
    assert same_files(Path("run/model"), Path("elsewhere"))


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(
    blipdiff: Command, library_folder: Path, tmp_path: Path
) -> None:
    asked = ("train", write_recipe(tmp_path / "tiny.toml"), "--run", "run", "--data", library_folder, "--no-compile")
    with at_call("training/state.py", "save_state", 2, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff(*asked)
    assert ended.code == 130
    assert [line for line in ended.err.splitlines() if " loss " not in line] == [STOPPED]
    assert resume_step(RunFolder(Path("run") / "reconstruction")) == 4
    again = blipdiff(*asked)
    assert again.code == 0, again.err
    assert [line.split()[0] for line in again.err.splitlines()] == ["subject", "decoder"], "what was saved is kept"


def test_a_full_disk_while_preparing_is_said(blipdiff: Command, library_folder: Path, tmp_path: Path) -> None:
    asked = ("train", write_recipe(tmp_path / "tiny.toml"), "--run", "run", "--data", library_folder, "--no-compile")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        ended = blipdiff(*asked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.code == 2
    assert "cannot be written: the file is larger than allowed.\n" in ended.err
    assert "Traceback" not in ended.err
    assert blipdiff(*asked).code == 0, "the same command goes on"
