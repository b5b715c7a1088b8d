"""What a model's name stands for."""

import shutil
from pathlib import Path

import pytest

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.controls import load_control
from blipdiff.checkpoints.describer import load_describer
from blipdiff.checkpoints.detect import folder_of, found
from blipdiff.errors import CheckpointError


def test_folders_are_told_apart(tiny_folder: Path, tiny_lavis: Path) -> None:
    for folder, layout in ((tiny_folder, "diffusers"), (tiny_lavis, "lavis")):
        with found(folder) as model:
            assert (model.layout, model.place, model.name) == (layout, folder, folder.name)


def test_what_is_no_model_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for source, words in [
        (tmp_path, "model_index.json"),
        (tmp_path / "notes.txt", "is no model"),
        (tmp_path / "nowhere", "There is no model at"),
        ("", "is no model|There is no model"),
        ("just-a-name", "There is no model at"),
    ]:
        with pytest.raises(CheckpointError, match=words):
            load_model(source, dtype="stored")


def test_a_hub_name_is_not_fetched_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something went out to the network"))
    with pytest.raises(CheckpointError, match="nothing is fetched unless asked"):
        load_model("Salesforce/blipdiffusion", dtype="stored")


def test_a_hub_name_that_was_fetched_before_is_used(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "models--someone--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny_folder, cached / "snapshots" / ("0" * 40))
    assert load_model("someone/tiny", dtype="stored").name == "someone/tiny"


@pytest.mark.parametrize("name", ["x" * 5000, "a/" + "x" * 5000, "\0", "a/\0", "a/..", "\ud800", "a/b\n"])
def test_a_name_that_no_file_system_takes_is_told_in_a_short_sentence(name: str) -> None:
    for read in (load_model, load_control, load_describer, folder_of):
        with pytest.raises(CheckpointError) as caught:
            read(name)
        assert len(str(caught.value)) < 500
