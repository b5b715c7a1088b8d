"""The first run with a model of the hub: its listing is read, its size told, its files fetched, verified and drawn."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.controls import load_control
from blipdiff.checkpoints.large_files import HubFile, Repository, fetch
from blipdiff.checkpoints.needed import Wanted
from blipdiff.checkpoints.vocabularies import BERT_WORDS
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import CheckpointError
from pipelines import GenerateRequest, Job, Result, Studio, run
from tests.support.command_line import Command
from tests.support.stand_in_hub import COMMIT, NAME, PUBLISHED, SPARE, UNET, StandInHub
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures", "tests.support.hub_fixtures"]


def copied(hub: StandInHub, place: Path) -> Path:
    """The hub's files in a folder that a test may change, served from now on."""
    for name in hub.files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes((hub.folder / name).read_bytes())
    hub.folder = place
    return place


def large_fetched(hub: StandInHub) -> list[tuple[str, int]]:
    return [(name, start) for name, start in hub.fetched if name.endswith((".bin", ".safetensors"))]


def test_the_stand_in_has_the_published_listing(hub: StandInHub) -> None:
    assert hub.files == PUBLISHED


def test_a_first_run_is_told_fetched_cut_resumed_verified_and_drawn(
    hub: StandInHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match="--download"):
        load_model(NAME)
    assert hub.fetched == []

    hub.cut_at = {UNET: hub.size(UNET) // 2}
    with pytest.raises(CheckpointError, match=r"only in part.*Run it again: it goes on where it ended"):
        load_model(NAME, download=True)
    total = sum(hub.size(name) for name in hub.files if name.endswith(".bin"))
    assert f"{total / 1e6:.2f}M" in capsys.readouterr().err.split("\r")[1]  # the whole size, in the bar's first line
    with pytest.raises(CheckpointError, match="only in part on this machine"):
        load_model(NAME)

    hub.broken = False
    model = load_model(NAME, download=True)
    starts = [start for name, start in hub.fetched if name == UNET]
    assert len(starts) == 2
    assert starts[0] == 0
    assert hub.size(UNET) // 2 - 4096 < starts[1] <= hub.size(UNET) // 2
    assert len(large_fetched(hub)) == 5  # the other three once
    assert not list((tmp_path / "cache").rglob("*.incomplete"))
    assert model.name == NAME
    assert len(model.category_tokenizer) == BERT_WORDS + 1
    assert model.category_tokenizer("tractor").input_ids == [101, 16358, 102]

    hub.fetched.clear()
    studio = Studio(load_model(NAME))
    request = GenerateRequest(category="dog", prompt="on a beach", seed=3, count=1, steps=2)
    job = Job.of(request, subject=SubjectPhoto(photo(0), "dog"))
    assert any(isinstance(event, Result) for event in run(studio, job))
    assert hub.fetched == []


def test_the_vocabulary_is_saved_with_the_model_from_then_on(hub: StandInHub, tmp_path: Path) -> None:
    model = load_model(NAME, download=True)
    save_model(model, tmp_path / "copy")
    lines = (tmp_path / "copy" / "qformer_tokenizer" / "vocab.txt").read_text("utf-8").splitlines()
    assert len(lines) == BERT_WORDS
    again = load_model(tmp_path / "copy")
    assert again.category_tokenizer("a tractor").input_ids == model.category_tokenizer("a tractor").input_ids


def test_only_one_format_is_fetched(hub: StandInHub, tmp_path: Path) -> None:
    folder = copied(hub, tmp_path / "both")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        tensors = torch.load(folder / f"{name}.bin", weights_only=True)
        save_file(tensors, folder / f"{name}.safetensors", metadata={"format": "pt"})
    (folder / "unet" / "diffusion_pytorch_model.non_ema.bin").write_bytes(b"never wanted")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"never wanted")
    load_model(NAME, download=True)
    assert sorted(name for name, _ in large_fetched(hub)) == [
        "qformer/pytorch_model.bin",
        "text_encoder/pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert load_model(NAME).name == NAME  # nor does what was left out make the copy incomplete


@pytest.mark.parametrize("missing", [name for name in PUBLISHED[2:] if name not in SPARE])
def test_a_needed_file_that_is_not_listed_is_named_before_anything_is_fetched(
    missing: str, hub: StandInHub, tmp_path: Path
) -> None:
    (copied(hub, tmp_path / "lacking") / missing).unlink()
    named = Path(missing).parent if missing.endswith(".bin") else missing
    with pytest.raises(CheckpointError, match=f"{named}.*Nothing was fetched"):
        load_model(NAME, download=True)
    assert hub.fetched == []


def test_another_vocabulary_is_asked_for_before_a_large_file_is_fetched(hub: StandInHub, tmp_path: Path) -> None:
    config = copied(hub, tmp_path / "other") / "qformer" / "config.json"
    known = read_json(config)
    known["qformer_config"]["vocab_size"] = 21129
    write_json(config, known)
    with pytest.raises(CheckpointError, match=r"vocab\.txt.*21129 words"):
        load_model(NAME, download=True)
    assert large_fetched(hub) == []


def test_a_damaged_file_is_thrown_away_and_fetched_anew(hub: StandInHub, tmp_path: Path) -> None:
    hub.damaged = {UNET}
    with pytest.raises(CheckpointError, match="came damaged"):
        load_model(NAME, download=True)
    assert not list((tmp_path / "cache").rglob("*.incomplete"))
    hub.damaged = set()
    assert load_model(NAME, download=True).name == NAME


def test_a_full_disk_is_told_before_a_large_file_is_fetched(
    hub: StandInHub, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = json.loads((shared / "parity" / "fullsize_keys.json").read_text())["parameter_counts"]
    hub.sizes = {"qformer/pytorch_model.bin": 4 * counts["qformer (all)"], UNET: 4 * 859_520_964}
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5 * 10**9})())
    with pytest.raises(CheckpointError, match=r"needs 5\.4 GB more .* 5\.0 GB free"):
        load_model(NAME, download=True)
    assert hub.fetched == []


def test_a_hub_out_of_reach_is_told_and_a_whole_copy_is_used(hub: StandInHub) -> None:
    hub.broken = True
    with pytest.raises(CheckpointError, match="out of reach"):
        load_model(NAME, download=True)
    hub.broken = False
    load_model(NAME, download=True)
    hub.broken = True
    assert load_model(NAME, download=True).name == NAME


def test_an_answer_that_is_none_of_the_hubs_is_told(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ({"detail": "Sign in to this network"}, [], "hello", {"id": NAME, "siblings": 3}):
        monkeypatch.setattr(StandInHub, "info", lambda _, answer=answer: answer)
        with pytest.raises(CheckpointError, match="out of reach"):
            load_model(NAME, download=True)


def test_a_name_that_the_hub_does_not_know_is_told(hub: StandInHub) -> None:
    with pytest.raises(CheckpointError, match="The hub has no model 'nobody/nothing'"):
        load_model("nobody/nothing", download=True)


def test_a_model_of_another_kind_is_told_before_anything_is_fetched(hub: StandInHub, tmp_path: Path) -> None:
    hub.folder = tmp_path / "other"
    (hub.folder / "nested").mkdir(parents=True)
    (hub.folder / "config.json").write_text("{}")
    (hub.folder / "pytorch_model.bin").write_bytes(b"0" * 100)
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        load_model(NAME, download=True)
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model\.safetensors"):
        load_control(NAME, download=True)
    assert hub.fetched == []


def test_a_split_file_is_fetched_with_all_its_parts(hub: StandInHub, tmp_path: Path) -> None:
    folder = copied(hub, tmp_path / "split")
    tensors = torch.load(folder / UNET, weights_only=True)
    (folder / UNET).unlink()
    names = sorted(tensors)
    parts = {"00001-of-00002": names[::2], "00002-of-00002": names[1::2]}
    stem = UNET.removesuffix(".bin")
    for part, kept in parts.items():
        torch.save({name: tensors[name] for name in kept}, folder / f"{stem}-{part}.bin")
    where = {name: f"{Path(stem).name}-{part}.bin" for part, kept in parts.items() for name in kept}
    write_json(folder / f"{stem}.bin.index.json", {"weight_map": where})
    model = load_model(NAME, download=True, dtype="stored")
    assert torch.equal(model.unet.conv_in.weight, tensors["conv_in.weight"])
    (folder / f"{stem}-00002-of-00002.bin").unlink()
    (tmp_path / "cache").rename(tmp_path / "old-cache")
    hub.fetched.clear()
    with pytest.raises(CheckpointError, match="unet/diffusion_pytorch_model"):
        load_model(NAME, download=True)
    assert hub.fetched == []


def test_the_listing_is_of_one_commit(hub: StandInHub, tmp_path: Path) -> None:
    load_model(NAME, download=True)
    assert [path.name for path in (tmp_path / "cache").glob("models--*/snapshots/*")] == [COMMIT]


def test_the_command_line_fetches_and_draws_when_it_is_asked_to(
    hub: StandInHub, generate: Command, tmp_path: Path
) -> None:
    ended = generate("--model", NAME)
    assert ended.code == 2
    assert "--download" in ended.err
    assert hub.fetched == []
    ended = generate("--model", NAME, "--download")
    assert (ended.code, len(ended.pictures)) == (0, 1), ended.err
    assert f"Fetching {NAME}" in ended.err


def test_two_processes_fetch_a_file_once(hub: StandInHub, tmp_path: Path) -> None:
    file = HubFile(UNET, hub.size(UNET), hub.tag(UNET))
    home = tmp_path / "cache" / "models--Salesforce--blipdiffusion"
    with ThreadPoolExecutor(2) as pool, tqdm(total=2 * file.size, disable=True) as bar:
        list(pool.map(lambda _: fetch(Repository(NAME, home, Wanted()), file, bar), range(2)))
    assert large_fetched(hub) == [(UNET, 0)]
    assert (home / "blobs" / hub.tag(UNET)).read_bytes() == (hub.folder / UNET).read_bytes()
