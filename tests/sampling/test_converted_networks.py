"""Converted networks on the disk: named by what they depend on, whole, made again where damaged, listed and removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from blipdiff.errors import CheckpointError, OutputError
from blipdiff.sampling.openvino_engine import cache
from blipdiff.sampling.openvino_engine.cache import convert, kept, place_of, read, remove
from tests.support.openvino_nets import Stand, needs_openvino
from tests.support.tiny_models import tiny_model

pytestmark = needs_openvino

ROOT = Path(__file__).parents[2]


def test_the_folder_knows_a_network_by_its_weights_and_its_dtype(tmp_path: Path) -> None:
    place = place_of(tiny_model().unet, "unet", tmp_path)
    assert place == place_of(tiny_model().unet, "unet", tmp_path)
    others = [tiny_model(1).unet, tiny_model().moved(dtype=torch.bfloat16).unet]
    changed = tiny_model().unet
    changed.conv_out.weight.mul_(1.01)  # as a LoRA does that lies on it
    assert len({place, *(place_of(one, "unet", tmp_path) for one in (*others, changed))}) == 4


@pytest.mark.parametrize("damage", ["cut", "changed", "lost", "graph", "told"])
def test_a_damaged_network_is_converted_again(tmp_path: Path, damage: str) -> None:
    vae, latents = tiny_model().vae, torch.zeros(1, 4, 4, 4)
    (exact,) = Stand("vae", tmp_path)(vae, latents)
    place = place_of(vae, "vae", tmp_path)
    weights = place / "network.bin"
    content = weights.read_bytes()
    match damage:
        case "cut":
            weights.write_bytes(content[: len(content) // 2])
        case "changed":
            weights.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
        case "lost":
            weights.unlink()
        case "graph":
            (place / "network.xml").write_text("<net>")
        case "told":
            (place / "network.json").write_text("{}")
    with pytest.raises(CheckpointError):
        read(place)
    stand = Stand("vae", tmp_path)
    (found,) = stand(vae, latents)
    assert torch.equal(found, exact)
    assert stand.said == ["The converted VAE was damaged; it is converted again."]
    assert weights.read_bytes() == content


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = tiny_model().vae
    place = place_of(vae, "vae", tmp_path)

    def full(_path: Path) -> list[int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_checksum", full)
    with pytest.raises(Exception, match="the disk is full"):
        convert(vae, "vae", place)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_convert_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, torch; from pathlib import Path; from tests.support.openvino_nets import Stand;"
        "from tests.support.tiny_models import tiny_model;"
        "stand = Stand('vae', Path(sys.argv[1])); found = stand(tiny_model().vae, torch.ones(1, 4, 4, 4));"
        "assert found is not None, stand.said; print(float(found[0].sum()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", program, str(tmp_path)]
    both = [subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ended = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    assert ended[0][0] == ended[1][0]
    assert [one.kind for one in kept(tmp_path)] == ["vae"]
    assert [one.name for one in tmp_path.iterdir()] == [kept(tmp_path)[0].place.name], "nothing is left beside it"


def test_converted_networks_are_told_and_removed_and_nothing_else(tmp_path: Path) -> None:
    vae = tiny_model().vae
    Stand("vae", tmp_path)(vae, torch.zeros(1, 4, 4, 4))
    (tmp_path / "my-notes").mkdir()
    (tmp_path / "my-notes" / "note.txt").write_text("mine")
    (one,) = kept(tmp_path)
    assert (one.kind, one.dtype, one.place) == ("vae", "float32", place_of(vae, "vae", tmp_path))
    assert one.size > 1000
    assert remove(tmp_path) == one.size
    assert [one.name for one in tmp_path.iterdir()] == ["my-notes"]
    assert kept(tmp_path / "nowhere") == []


def test_folders_of_other_programs_are_neither_told_nor_removed(tmp_path: Path) -> None:
    for name in ("my-model", "unet-model", "unet-0123456789abcdef-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "network.json").write_text('{"kind": "unet"}')
    assert kept(tmp_path) == []
    assert remove(tmp_path) == 0
    assert len(list(tmp_path.glob("*/network.json"))) == 3


def test_a_place_that_cannot_be_written_is_told_before_converting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def traced(*_given: object) -> None:
        raise AssertionError("the network was converted in vain")

    monkeypatch.setattr(cache, "traced", traced)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        convert(tiny_model().vae, "vae", tmp_path / "file" / "vae-0123456789abcdef")
