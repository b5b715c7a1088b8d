"""The settings file: whole or as it was, checked, under the environment."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import settings as stored
from app.settings import (
    DATABASE,
    DOWNLOAD,
    ENGINE,
    FILE,
    MODEL,
    OUTPUT,
    RESULTS,
    Settings,
    fixed_settings,
    read_settings,
    save_settings,
    settings_file,
    silence_libraries,
    take_large_pages,
)
from blipdiff.errors import ConfigError, OutputError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {FILE: str(tmp_path / "own" / "settings.json")}


def test_what_is_saved_is_read_and_the_environment_wins(environment: dict[str, str]) -> None:
    assert read_settings(environment) == Settings()
    save_settings({"model": "a/b", "output": "~/pictures", "space": 2.5, "previews": False}, environment)
    path = save_settings({"theme": "dark"}, environment)
    told = read_settings(environment)
    assert told == Settings(
        output=Path("~/pictures").expanduser(), model="a/b", space=2.5, previews=False, theme="dark"
    )
    assert json.loads(path.read_text())["output"] == "~/pictures"
    assert read_settings(environment | {MODEL: "mini"}).model == "mini"
    assert fixed_settings(environment | {MODEL: "mini"}) == {"model": MODEL}
    save_settings({"engine": "torch"}, environment)
    assert read_settings(environment).engine == "torch"
    assert read_settings(environment | {ENGINE: "openvino"}).engine == "openvino"
    assert fixed_settings(environment | {ENGINE: "openvino"}) == {"engine": ENGINE}
    save_settings({"results": "s3://pictures/studio", "database": "postgresql://there/x"}, environment)
    assert read_settings(environment).results == "s3://pictures/studio"
    assert "there" not in repr(read_settings(environment)), "it may hold a password"
    assert read_settings(environment | {RESULTS: "/mnt", DATABASE: "postgresql://here/x"}).results == "/mnt"
    save_settings({"space": None}, environment)
    assert read_settings(environment).space is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""), ("model", 3), ("output", "a\nb"), ("history", None), ("space", 0), ("space", True),
        ("space", "12"), ("space", float("nan")), ("previews", "yes"), ("previews", 1), ("language", "fr"),
        ("theme", None), ("engine", "onnx"), ("engine", 1), ("token", "secret"), ("library", "x" * 5000),
        ("results", ""), ("database", 3),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_changes_nothing(name: str, value: Any, environment: dict[str, str]) -> None:
    path = save_settings({"theme": "dark"}, environment)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=name):
        save_settings({"language": "zh", name: value}, environment)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"space": -1}', b'{"theme": []}'])
def test_a_damaged_file_is_named_and_not_written_over(content: bytes, environment: dict[str, str]) -> None:
    path = save_settings({"theme": "dark"}, environment)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        read_settings(environment)
    with pytest.raises(ConfigError, match=str(path)):
        save_settings({"theme": "light"}, environment)
    assert path.read_bytes() == content


def test_a_write_that_breaks_off_leaves_the_file_as_it_was(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_settings({"theme": "dark"}, environment)

    def fail(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored.json, "dumps", fail)
    with pytest.raises(OutputError, match="disk is full"):
        save_settings({"theme": "light"}, environment)
    assert json.loads(path.read_text()) == {"theme": "dark"}
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_file_lies_where_the_system_keeps_settings() -> None:
    assert settings_file({}) is None
    assert settings_file({"HOME": "/home/a"}) == Path("/home/a/.config/blipdiff/settings.json")
    assert settings_file({"HOME": "/home/a", "XDG_CONFIG_HOME": "/c"}) == Path("/c/blipdiff/settings.json")
    with pytest.raises(ConfigError, match=FILE):
        save_settings({"theme": "dark"}, {})


def test_settings_come_from_the_environment_and_keep_the_libraries_silent() -> None:
    assert read_settings({}) == Settings()
    asked = {OUTPUT: "/tmp/pictures", MODEL: "folder", DOWNLOAD: "yes"}
    assert read_settings(asked) == Settings(Path("/tmp/pictures"), "folder", download=True)
    with pytest.raises(ConfigError, match=DOWNLOAD):
        read_settings({DOWNLOAD: "perhaps"})
    for settings, offline in ((Settings(), "1"), (Settings(download=True), None)):
        environment: dict[str, str] = {}
        silence_libraries(settings, environment)
        assert environment.get("HF_HUB_OFFLINE") == offline
        assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_large_pages_are_asked_for_unless_the_environment_says_otherwise() -> None:
    asked: dict[str, str] = {}
    take_large_pages(asked)
    assert asked == {"THP_MEM_ALLOC_ENABLE": "1"}
    refused = {"THP_MEM_ALLOC_ENABLE": "0"}
    take_large_pages(refused)
    assert refused == {"THP_MEM_ALLOC_ENABLE": "0"}
