"""What is saved on the tab of the settings can be set back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.settings import STORED, Settings, stored_settings
from app.ui.tabs import settings as tab


def test_a_setting_that_was_saved_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLIPDIFF_SETTINGS", str(tmp_path / "settings.json"))
    history = SimpleNamespace(most=None)
    room: Any = SimpleNamespace(settings=Settings(), workshop=SimpleNamespace(history=history))
    visit: Any = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"), headers={})
    kept: dict[str, Any] = {}
    for space, wanted in (("2.5", 2.5), ("", None)):
        given = {name: tab._shown(room, name) for name in STORED} | {"space": space}
        assert "Saved in" in tab._saved(room, visit, given, kept)
        assert stored_settings()["space"] == wanted
        assert history.most == (None if wanted is None else wanted * 10**9)
