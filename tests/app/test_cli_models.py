"""`blipdiff models`: list, get, remove, and what a model needs of memory."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from blipdiff.checkpoints.inventory import PUBLISHED
from tests.support.command_line import Command, at_call
from tests.support.stand_in_hub import UNET, StandInHub

pytest_plugins = ["tests.support.command_fixtures", "tests.support.hub_fixtures"]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_models_are_listed_with_what_they_need(
    blipdiff: Command, hub: StandInHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_MODELS", str(model.parent))
    ended = blipdiff("models", "list", "--memory", "--device", "cpu", "--dtype", "float32")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].startswith("mini: bundled, ")
    assert "128 x 128 pixels, of drawn things" in lines[0]
    assert "of memory to draw: 87 MB lie there" in lines[1]
    assert any(line.startswith(f"{model}: folder, ") for line in lines)
    assert f"{PUBLISHED}: not here; fetch it with `blipdiff models get {PUBLISHED}`" in lines
    assert lines[-1].endswith("of memory are free on cpu (float32).")
    assert hub.fetched == []
    told = blipdiff("models", "list", "--json", "--folder", model.parent).answer
    assert [one["name"] for one in told] == ["mini", *sorted(str(path) for path in model.parent.iterdir())]
    assert told[0]["draws"] is True


def test_a_model_is_got_told_stopped_gone_on_with_and_removed(
    blipdiff: Command, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as the program has it unless downloads are wanted
    hub.tags = ["license:apache-2.0"]
    with at_call("huggingface_hub/file_download.py", "http_get", 4, interrupt):
        stopped = blipdiff("models", "get", PUBLISHED)
    assert stopped.code == 130
    assert "licence: apache-2.0" in stopped.err
    assert "are free in" in stopped.err
    part = blipdiff("models", "list")
    assert f"{PUBLISHED}: published" in part.out
    assert "only in part" in part.out

    ended = blipdiff("models", "get", PUBLISHED)
    assert ended.code == 0, ended.err
    assert "of them still to come" in ended.err
    assert f"Fetching {PUBLISHED}" in ended.err
    assert (Path(ended.out.strip()) / UNET).is_file()
    assert len([name for name, _ in hub.fetched if name.endswith(".bin")]) == 4

    asked = blipdiff("models", "remove", PUBLISHED)
    assert (asked.code, "add --yes" in asked.err) == (2, True)
    gone = blipdiff("models", "remove", PUBLISHED, "--yes")
    assert (gone.code, "are free again" in gone.out) == (0, True)
    assert "not here" in blipdiff("models", "list").out


@pytest.mark.parametrize("wrong", [("get", "mini"), ("get", "a/b"), ("remove", "mini"), ("remove", "a/b", "--yes")])
def test_what_cannot_be_got_or_removed_is_told(wrong: tuple[str, ...], blipdiff: Command, hub: StandInHub) -> None:
    ended = blipdiff("models", *wrong)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
