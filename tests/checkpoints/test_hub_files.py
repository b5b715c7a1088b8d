"""LoRAs, embeddings, VAEs and bases by their hub ids: what is needed is fetched when asked for, nothing else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from huggingface_hub import constants

from blipdiff.checkpoints.additions import Additions, added
from blipdiff.checkpoints.hub import online
from blipdiff.errors import CheckpointError
from tests.support.brought import (
    factors,
    sd_tensors,
    vectors,
    write_embedding,
    write_kohya,
    write_peft,
    write_sd_folder,
)
from tests.support.stand_in_hub import StandInHub, ask, served
from tests.support.tiny_models import tiny_model

Serve = Callable[[Path, str], StandInHub]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """serve(folder, name): a hub that has this folder under this name, and an empty cache."""
    with ExitStack() as stack:

        def start(folder: Path, name: str) -> StandInHub:
            hub = stack.enter_context(served(StandInHub(folder, name)))
            ask(hub, tmp_path / "cache", monkeypatch)
            return hub

        yield start


def fetched(hub: StandInHub) -> set[str]:
    return {name for name, _ in hub.fetched}


def test_a_lora_with_its_settings(serve: Serve, tmp_path: Path) -> None:
    folder = write_peft(factors(tiny_model()), tmp_path / "chalk")
    (folder / "sample.png").write_bytes(b"x")
    hub = serve(folder, "somebody/chalk")
    with pytest.raises(CheckpointError, match="--download"):
        added(tiny_model(), Additions.of(loras=["somebody/chalk:0.5"]))
    found = added(tiny_model(), Additions.of(loras=["somebody/chalk:0.5"]), download=True)
    assert "LoRA chalk at 0.5" in found.identity.parts
    assert fetched(hub) == {"adapter_model.safetensors", "adapter_config.json"}
    hub.fetched.clear()
    assert added(tiny_model(), Additions.of(loras=["somebody/chalk:0.5"])).identity == found.identity
    assert hub.fetched == []


def test_one_of_several_loras_is_asked_for_by_its_path(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for name in "ab":
        write_kohya(factors(tiny_model()), tmp_path / "many" / f"{name}.safetensors")
    hub = serve(tmp_path / "many", "somebody/many")
    with pytest.raises(CheckpointError, match=r"2 files in it may be the LoRA.*Nothing was fetched"):
        added(tiny_model(), Additions.of(loras=["somebody/many"]), download=True)
    assert hub.fetched == []


def test_an_embedding(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    write_embedding(tmp_path / "toy" / "learned_embeds.bin", vectors())
    hub = serve(tmp_path / "toy", "sd-concepts-library/cat-toy")
    found = added(tiny_model(), Additions.of(embeddings=["sd-concepts-library/cat-toy"]), download=True)
    assert found.encode_prompts(["a <cat-toy>"]).layouts[0].words() == ("a", "<cat-toy>")
    assert fetched(hub) == {"learned_embeds.bin"}


def test_a_base_and_a_vae_of_a_whole_pipeline(serve: Serve, tmp_path: Path) -> None:
    model = tiny_model(1)
    folder = write_sd_folder(model, sd_tensors(model, 0.1), tmp_path / "dreamy")
    hub = serve(folder, "somebody/dreamy")
    vae = added(tiny_model(), Additions.of(vae="somebody/dreamy"), download=True)
    assert fetched(hub) == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}
    assert vae.identity.parts["vae"] == model.identity.parts["vae"]
    own = write_sd_folder(model, sd_tensors(model), tmp_path / "original")
    hub.fetched.clear()
    based = Additions.of(base="somebody/dreamy", original=own)
    found = added(tiny_model(), based, download=True)
    assert "base dreamy at 1" in found.identity.parts
    assert not any(name.startswith(("vae/", "tokenizer/")) for name in fetched(hub))


def test_two_that_ask_the_hub_at_once_do_not_switch_each_other_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fetch, question = online(), online()
    fetch.__enter__()
    question.__enter__()
    fetch.__exit__(None, None, None)
    assert not constants.HF_HUB_OFFLINE, "the question is still open"
    question.__exit__(None, None, None)
    assert constants.HF_HUB_OFFLINE
