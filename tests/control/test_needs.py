"""What preprocessors lack on this machine."""

from pathlib import Path

import pytest

from blipdiff.control import needs
from blipdiff.control.choices import DRAWN
from blipdiff.control.needs import lacking


def test_what_is_drawn_lacks_nothing_and_detectors_name_their_package_and_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(needs, "find_spec", lambda _name: None)
    assert [lacking(name) for name in DRAWN] == [()] * len(DRAWN)
    assert lacking("pose") == ("controlnet_aux", "lllyasviel/Annotators")
    assert lacking("depth") == ("depth-anything/Depth-Anything-V2-Small-hf",)
    (tmp_path / "models--lllyasviel--Annotators" / "snapshots" / "1").mkdir(parents=True)
    assert lacking("pose") == ("controlnet_aux",)
    monkeypatch.setattr(needs, "find_spec", lambda _name: object())
    assert lacking("pose") == ()
