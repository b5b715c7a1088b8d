"""Presets: values under a name, checked when they are read, kept in files without code."""

import json
from pathlib import Path
from typing import Any

import pytest

from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.controls.settings import ControlSettings
from pipelines.generate.request import GenerateRequest
from pipelines.presets.preset import Preset
from pipelines.presets.store import Presets, bundled
from pipelines.stylize.request import StylizeRequest
from pipelines.task import tasks
from tests.support.studios import job

GOOD = {
    "blipdiff": "preset",
    "version": 1,
    "name": "mine",
    "description": "For tests.",
    "task": "generate",
    "values": {"steps": 12, "guidance": 2.5},
}


def test_the_bundled_ones_are_read_each_for_a_task_with_a_sentence() -> None:
    found = bundled()
    assert {"product photo", "sticker", "in the style of", "try-on", "poster", "pixel art"} <= {
        one.name for one in found
    }
    assert all(one.description.endswith(".") and one.values and one.task in tasks() for one in found)
    assert len({one.name for one in found}) == len(found)


def test_values_become_a_request_and_what_is_given_wins() -> None:
    preset = Preset("mine", "generate", {"steps": 12, "prompt": "on a beach"})
    assert preset.request(category="dog", steps=8) == GenerateRequest(category="dog", steps=8, prompt="on a beach")
    styled = Preset("sketch", "stylize", {"controls": [{"stop": 0.5}]})
    assert styled.request(category="dog") == StylizeRequest(category="dog", controls=(ControlSettings(stop=0.5),))


def test_a_preset_comes_back_from_its_file(tmp_path: Path) -> None:
    preset = Preset("mine", "stylize", {"controls": [{"stop": 0.5}], "steps": 12}, "Soft. 中文")
    again = Preset.read(preset.save(tmp_path / "mine.json"))
    assert again.to_json() == preset.to_json()
    assert again.values == preset.values


def test_a_jobs_settings_are_kept_without_its_subject_and_seed() -> None:
    one = job(seed=9, steps=12, prompt="on a beach", variation=0.2)
    assert Preset.of_job(one, "mine").values == {"steps": 12, "count": 1}
    assert Preset.of_job(one, "mine", words=True).values == {"steps": 12, "count": 1, "prompt": "on a beach"}


@pytest.mark.parametrize("values", [{"step_table": 3}, {"step_table": "0123"}, {"variation_of": []}])
def test_what_one_picture_tells_of_itself_is_in_no_preset(values: dict[str, Any]) -> None:
    told = {"blipdiff": "preset", "version": 1, "name": "mine", "task": "generate", "values": values}
    with pytest.raises(ConfigError, match="cannot hold"):
        Preset.from_json(json.dumps(told))


def test_steps_that_were_fitted_to_one_model_are_left_to_the_speed() -> None:
    one = job(steps=10, scheduler="fitted", step_table="0123", speed="fast")
    assert Preset.of_job(one, "mine").values == {"count": 1, "speed": "fast"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"blipdiff": "job"}, "is no preset: the key 'blipdiff'"),
        ({"version": 2}, "is of version 2"),
        ({"version": True}, "it has no version"),
        ({"code": "import os"}, "a key 'code'"),
        ({"values": [1]}, "its values are missing"),
        ({"task": "fly"}, "There is no task 'fly'"),
        ({"name": " "}, "has no name"),
        ({"name": "x" * 61}, "at most 60 letters"),
        ({"name": ["x"], "description": 3}, ""),
        ({"values": {"steps": 0}}, "Steps is 0; it goes from 1"),
        ({"values": {"steps": "many"}}, "Steps must be a whole number"),
        ({"values": {"scheduler": "__import__('os')"}}, "choose one of"),
        ({"values": {"subject": "/etc/passwd"}}, "keys that this version does not know: subject"),
        ({"values": {"prompt": 5}}, "Prompt must be text"),
        ({"values": {"category": ""}}, "category"),
    ],
)
def test_what_is_no_preset_is_refused_in_a_sentence(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**GOOD, **changes}), encoding="utf-8")
    if not told:
        assert Preset.read(path).name == "['x']"  # whatever it is, it is text
        return
    with pytest.raises(BlipdiffError, match=told):
        Preset.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"version": NaN}', b"[" * 60_000, b" " * 70_000])
def test_any_bytes_end_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"no preset|too large"):
        Preset.read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Preset.read(tmp_path / "none.json")


def test_ones_own_win_and_are_found_by_name_or_file(tmp_path: Path) -> None:
    store = Presets(tmp_path / "presets")
    own = Preset("Sticker", "generate", {"steps": 7})
    first = store.save(own)
    assert store.save(Preset("Sticker", "generate", {"steps": 9})) == first, "the same name, the same file"
    assert store.get("sticker").values == {"steps": 9}
    assert store.get(str(first), "generate").values == {"steps": 9}
    (tmp_path / "presets" / "broken.json").write_text("{")
    assert "Sticker" in store.all("generate")
    assert all(one.task == "edit" for one in store.all("edit").values())
    with pytest.raises(ConfigError, match=r"no preset 'stickr'\. Did you mean 'Sticker'"):
        store.get("stickr")
    with pytest.raises(ConfigError, match="is for edit, not for generate"):
        store.get("try-on", "generate")
    with pytest.raises(ConfigError, match="no folder"):
        Presets().save(own)
