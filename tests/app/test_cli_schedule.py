"""`blipdiff schedule` on a tiny model: steps are fitted, kept by the model, drawn by, repeated; and bad asking."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from blipdiff.checkpoints import load_model, save_model
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines import fit_steps
from pipelines.fit_request import FitRequest
from pipelines.fit_steps import FitProgress
from pipelines.metadata import read_metadata
from tests.support.command_line import Command, at_call
from tests.support.refusals import files_below
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]

FEW = ("--calls", 2, "--calls", 3, "--rows", 2)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_steps, "CONVERGED", 20)


def test_a_model_keeps_the_steps_and_draws_by_them(blipdiff: Command, model: Path, dog: Path, tmp_path: Path) -> None:
    own = tmp_path / "fitted"
    ended = blipdiff("schedule", model, "--output", own, *FEW, "--dtype", "float32")
    assert ended.code == 0, ended.err
    assert "2 calls: " in ended.err
    assert "3 calls: " in ended.err
    assert (own / "scheduler" / "steps.json").is_file()
    tables = load_model(own).step_tables
    assert tables is not None
    assert tables.calls == (2, 3)
    asked = ("--subject", dog, "--category", "dog", "--prompt", "in a forest", "--count", 1, "--model", own, "--json")
    ended = blipdiff("generate", *asked, "--output", tmp_path / "out", "--speed", "fast")
    assert ended.code == 0, ended.err
    picture = next((tmp_path / "out").glob("*.png"))
    request = read_metadata(picture)["job"]["request"]
    assert (request["scheduler"], request["steps"]) == ("fitted", tables.dial["fast"])
    assert request["step_table"] == tables.fingerprint
    ended = blipdiff("generate", "--like", picture, "--model", own, "--output", tmp_path / "again")
    assert ended.code == 0, ended.err
    assert next((tmp_path / "again").glob("*.png")).read_bytes() == picture.read_bytes()

    ended = blipdiff("schedule", own, "--calls", 2, "--rows", 2, "--seed", 5, "--json")
    assert ended.code == 0, ended.err
    assert ended.answer["dial"] == {"exact": 2, "balanced": 2, "fast": 2}
    ended = blipdiff("generate", "--like", picture, "--model", own)
    assert ended.code == 2
    assert "other fitted steps" in ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("mini",), "no folder of a model"),
        (("nowhere",), "no folder of a model"),
        (("MODEL", "--calls", 0), "Numbers of calls go from 1 to"),
        (("MODEL", "--calls", 101), "Numbers of calls go from 1 to"),
        (("MODEL", "--calls", 19), "cannot be told apart"),
        (("MODEL", "--rows", 1), "Rows is 1"),
        (("MODEL", "--subjects", "EMPTY"), "0 pictures"),
        (("MODEL", "--subjects", "nowhere"), "nowhere"),
        (("MODEL", "--subjects", "HIDDEN"), "0 pictures"),
        (("MODEL", "--output", "HIDDEN"), "is no model's folder"),
        (("MODEL", "--output", "FILE"), "is no model's folder"),
        (("MODEL", "--output", "OTHER"), "holds other things (notes.txt)"),
        (("TAKEN",), "steps.json cannot be written: a folder of that name is in the way"),
        (("MODEL", "--subjects", "CUT"), "zebra.png are damaged or cut off"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(
    blipdiff: Command, model: Path, tmp_path: Path, given: tuple[object, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("._dog.png", "._cat.png"):  # as macOS leaves them beside pictures
        (hidden / name).touch()
    places = {"MODEL": model, "EMPTY": tmp_path / "empty", "HIDDEN": hidden, "FILE": hidden / "._dog.png"}
    for name in ("OTHER", "TAKEN", "CUT"):
        places[name] = tmp_path / name.lower()
    for name in ("OTHER", "TAKEN"):
        shutil.copytree(model, places[name])
    (places["OTHER"] / "notes.txt").write_text("precious")
    (places["TAKEN"] / "scheduler" / "steps.json").mkdir()
    places["CUT"].mkdir()
    for name in ("dog.png", "zebra.png"):
        photo().save(places["CUT"] / name)
    cut = places["CUT"] / "zebra.png"
    cut.write_bytes(cut.read_bytes()[:300])
    before = sorted(path.name for path in (model / "scheduler").iterdir())
    with at_call("pipelines/fit_steps.py", "way", 1, lambda: pytest.fail("fitting began")):
        ended = blipdiff("schedule", *(places.get(one, one) if isinstance(one, str) else one for one in given))
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in (model / "scheduler").iterdir()) == before


def test_what_a_speed_costs_is_told(blipdiff: Command, model: Path) -> None:
    ended = blipdiff("doctor", "--speed", "--model", model, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["Speed"]
    assert [told[speed].split(",")[0] for speed in ("exact", "balanced", "fast")] == [
        "50 calls by unipc",
        "20 calls by unipc",
        "10 calls by unipc",
    ]
    assert told["recommended"] == "exact"


@pytest.fixture
def read_only(model: Path, tmp_path: Path) -> Iterator[Path]:
    """A model's folder on a disk that takes nothing."""
    place = tmp_path / "disk"
    place.mkdir()
    commands = (
        ("mount", "--bind", str(model), str(place)),
        ("mount", "-o", "remount,ro,bind", str(place)),
    )
    if any(subprocess.run(one, check=False, capture_output=True).returncode for one in commands):
        subprocess.run(("umount", str(place)), check=False, capture_output=True)
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(("umount", str(place)), check=True)


def test_a_folder_that_takes_nothing_is_told_before_the_fit(blipdiff: Command, read_only: Path) -> None:
    with at_call("pipelines/fit_steps.py", "way", 1, lambda: pytest.fail("fitting began")):
        ended = blipdiff("schedule", read_only, *FEW)
    assert ended.code == 2
    assert "cannot be written: the disk is read-only" in ended.err


@pytest.mark.parametrize(
    ("file", "function", "number"),
    [("sampling/predictor.py", "__call__", 30), ("checkpoints/step_tables.py", "write_step_tables", 1)],
)
def test_stopped_in_the_middle_nothing_is_left(
    blipdiff: Command, model: Path, file: str, function: str, number: int
) -> None:
    shutil.copytree(model, "own")
    before = {path: path.read_bytes() for path in files_below(Path())}
    for places in (("own",), ("own", "--output", "copy")):
        with at_call(file, function, number, lambda: signal.raise_signal(signal.SIGINT)):
            ended = blipdiff("schedule", *places, *FEW)
        assert ended.code == 130
        assert ended.err.endswith("blipdiff: Stopped; what was finished is kept.\n")
        assert {path: path.read_bytes() for path in files_below(Path())} == before


def test_a_copy_has_the_weights_as_they_are_stored(blipdiff: Command, model: Path) -> None:
    ended = blipdiff("schedule", model, "--output", "copy", "--calls", 2, "--rows", 2, "--dtype", "bfloat16")
    assert ended.code == 0, ended.err
    mine, copied = (load_model(folder, dtype="stored").unet.state_dict() for folder in (model, "copy"))
    assert all(torch.equal(mine[name], copied[name]) and mine[name].dtype == copied[name].dtype for name in mine)


@pytest.mark.parametrize(
    "changes",
    [
        {"prediction_type": "epsilon"},
        {"prediction_type": "sample"},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"num_train_timesteps": 15},
    ],
    ids=str,
)
def test_steps_are_fitted_to_every_kind_of_model_and_draw(
    blipdiff: Command, dog: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    plain = tiny_model()
    save_model(replace(plain, scheduler_config={**plain.scheduler_config, **changes}), tmp_path / "own")
    ended = blipdiff("schedule", tmp_path / "own", "--calls", 1, "--calls", 5, "--rows", 2, "--dtype", "float32")
    assert ended.code == 0, ended.err
    assert "1 call: " in ended.err
    asked = ("--subject", dog, "--category", "dog", "--count", 1, "--model", tmp_path / "own", "--steps", 5)
    ended = blipdiff("generate", *asked, "--scheduler", "fitted")
    assert ended.code == 0, ended.err


def test_speeds_that_keep_no_promise_are_told(blipdiff: Command, model: Path) -> None:
    ended = blipdiff("schedule", model, "--output", "copy", "--calls", 1, "--rows", 2, "--json")
    assert ended.code == 0, ended.err
    assert [text.partition(" promises")[0] for text in ended.answer["notices"]] == [
        "The speed 'exact'",
        "The speed 'balanced'",
        "The speed 'fast'",
    ]


def test_progress_never_passes_what_there_is_to_do() -> None:
    model, subjects = tiny_model(), [SubjectPhoto(photo(seed), "dog") for seed in range(2)]
    told = [
        event
        for event in fit_steps.fit_steps(model, subjects, FitRequest(calls=(2, 3), rows=2))
        if isinstance(event, FitProgress)
    ]
    assert len({one.total for one in told}) == 1
    assert [one.done for one in told] == sorted({one.done for one in told})
    assert told[-1].done == told[-1].total
