"""`blipdiff schedule` on a tiny model: steps are fitted, kept by the model, drawn by, repeated; and bad asking."""

import json
from pathlib import Path

import pytest

from blipdiff.checkpoints import load_model
from pipelines import fit_steps
from pipelines.metadata import read_metadata
from tests.support.command_line import Command

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
    before = sorted(path.name for path in (model / "scheduler").iterdir())
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
