"""Converted networks on the disk: named by what they depend on, whole, made again where damaged, listed and removed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from blipdiff.errors import CheckpointError, OutputError
from blipdiff.sampling.openvino_engine import cache
from blipdiff.sampling.openvino_engine.cache import convert, kept, place_of, read, remove
from blipdiff.sampling.openvino_engine.library import library
from tests.support.openvino_nets import Stand, needs_openvino
from tests.support.tiny_models import tiny_model

pytestmark = needs_openvino

ROOT = Path(__file__).parents[2]
EXACT = 5e-6  # of float32, as in test_openvino_networks


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


def test_what_fails_while_it_is_written_leaves_nothing_and_the_weights_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = tiny_model().vae
    place = place_of(vae, "vae", tmp_path)
    half = []

    def full(_graph: object, path: str, **_given: object) -> None:
        half.append(Path(path).parent)
        Path(path).with_suffix(".bin").write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library(), "save_model", full)
    stand = Stand("vae", tmp_path)
    assert stand(vae, torch.zeros(1, 4, 4, 4)) is None
    (sentence,) = stand.said
    assert sentence == f"OpenVINO does not compute the VAE ({place} cannot be written: the disk is full); torch does."
    assert list(tmp_path.iterdir()) == []
    assert not any(str(half[0]) in line for line in _mapped_files()), "no file that is gone is held on the disk"
    assert torch.equal(vae.decoder.conv_in.weight, tiny_model().vae.decoder.conv_in.weight)


def _mapped_files() -> list[str]:
    maps = Path("/proc/self/maps")
    return maps.read_text().splitlines() if maps.exists() else []


def test_a_disk_that_is_full_for_openvino_alone_is_said(tmp_path: Path) -> None:
    program = (
        "import resource, sys, torch; from pathlib import Path; from tests.support.openvino_nets import Stand;"
        "from tests.support.tiny_models import tiny_model;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (220_000, resource.RLIM_INFINITY));"  # its graph has 380 kB
        "stand = Stand('unet', Path(sys.argv[1])); given = torch.zeros(1, 4, 8, 8), torch.tensor(300);"
        "found = stand(tiny_model().unet, *given, torch.zeros(1, 24, 16)); print(found, *stand.said)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("None OpenVINO does not compute the U-Net (unet-"), done.stderr
    assert "cannot be written: the disk is full, or fails" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "traced", _never)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=100_000))
    vae = tiny_model().vae
    with pytest.raises(OutputError, match=r"it takes 0.0 GB, and 0.0 GB are free on the disk"):
        convert(vae, "vae", place_of(vae, "vae", tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_a_network(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, torch; from pathlib import Path; from tests.support.openvino_nets import Stand;"
        "from tests.support.tiny_models import tiny_model;"
        "from blipdiff.sampling.openvino_engine import cache;"
        "cache._mark_narrow = lambda _path: os.kill(os.getpid(), signal.SIGKILL);"
        "Stand('vae', Path(sys.argv[1]))(tiny_model().vae, torch.ones(1, 4, 4, 4))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert any(one.name == "network.bin" for one in left.rglob("*")), "it was half written"
    assert kept(tmp_path) == []
    stand = Stand("vae", tmp_path)
    assert stand(tiny_model().vae, torch.ones(1, 4, 4, 4)) is not None
    assert stand.said == []
    assert [one.name for one in tmp_path.iterdir()] == [kept(tmp_path)[0].place.name], "the next one clears it away"


def test_a_folder_that_is_deleted_while_a_process_runs_costs_no_picture(tmp_path: Path) -> None:
    folder, net, latents = tmp_path / "networks", tiny_model().vae, torch.ones(1, 4, 4, 4)
    stand = Stand("vae", folder)
    (exact,) = stand(net, latents)
    shutil.rmtree(folder)
    (again,) = stand(net, latents)
    assert torch.equal(again, exact)
    (larger,) = stand(net, torch.ones(1, 4, 8, 8))  # is compiled anew
    with torch.no_grad():
        assert (larger - net.decode(torch.ones(1, 4, 8, 8)).sample).abs().max() < EXACT
    (others,) = Stand("vae", folder)(tiny_model().vae, latents)
    assert torch.equal(others, exact), "and converted anew for the next model"
    assert stand.said == []


def test_other_weights_of_the_same_name_are_converted_again(tmp_path: Path) -> None:
    vae, latents = tiny_model().vae, torch.ones(1, 4, 4, 4)
    (first,) = Stand("vae", tmp_path)(vae, latents)
    place = place_of(vae, "vae", tmp_path)
    other = tiny_model().vae
    weight = next(one for name, one in other.decoder.named_parameters() if one.numel() > 200)
    seen = torch.linspace(0, weight.numel() - 1, 64, dtype=torch.float64).long().tolist()
    unseen = next(number for number in range(weight.numel()) if number not in seen)
    weight.data.view(-1)[unseen] += 10  # in one number, which no fingerprint looks at
    assert place_of(other, "vae", tmp_path) == place
    stand = Stand("vae", tmp_path)
    (found,) = stand(other, latents)
    assert not torch.equal(found, first)
    with torch.no_grad():
        assert (found - other.decode(latents).sample).abs().max() < 10 * EXACT  # at a weight of 10


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


@pytest.mark.parametrize("damage", ["told is lost", "told is cut", "weights are lost", "graph is cut", "all is lost"])
def test_a_damaged_network_is_told_and_removed(tmp_path: Path, damage: str) -> None:
    vae = tiny_model().vae
    Stand("vae", tmp_path)(vae, torch.zeros(1, 4, 4, 4))
    place = place_of(vae, "vae", tmp_path)
    match damage:
        case "told is lost":
            (place / "network.json").unlink()
        case "told is cut":
            (place / "network.json").write_text('{"kind": "va')
        case "weights are lost":
            (place / "network.bin").unlink()
        case "graph is cut":
            (place / "network.xml").write_text("<net>")
        case "all is lost":
            shutil.rmtree(place)
            place.mkdir()
    (one,) = kept(tmp_path)
    assert (one.kind, one.place, one.is_damaged) == ("vae", place, True)
    assert one.dtype == ("float32" if damage in ("weights are lost", "graph is cut") else "")
    assert remove(tmp_path) == one.size
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_beside_a_network_stays(tmp_path: Path) -> None:
    vae = tiny_model().vae
    Stand("vae", tmp_path)(vae, torch.zeros(1, 4, 4, 4))
    place = place_of(vae, "vae", tmp_path)
    (place / "notes.txt").write_text("mine")
    (tmp_path / "unet-0123456789abcdef").mkdir()
    (tmp_path / "unet-0123456789abcdef" / "model.onnx").write_text("another program's")
    assert [one.place for one in kept(tmp_path)] == [place]
    remove(tmp_path)
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.*")) == [
        "unet-0123456789abcdef/model.onnx", f"{place.name}/notes.txt",
    ]  # fmt: skip
    assert kept(tmp_path) == []


def test_folders_of_other_programs_are_neither_told_nor_removed(tmp_path: Path) -> None:
    for name in ("my-model", "unet-model", "unet-0123456789abcdef-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "network.json").write_text('{"kind": "unet"}')
    assert kept(tmp_path) == []
    assert remove(tmp_path) == 0
    assert len(list(tmp_path.glob("*/network.json"))) == 3


def _never(*_given: object) -> None:
    raise AssertionError("the network was converted in vain")


def test_a_place_that_cannot_be_written_is_told_before_converting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "traced", _never)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        convert(tiny_model().vae, "vae", tmp_path / "file" / "vae-0123456789abcdef")
