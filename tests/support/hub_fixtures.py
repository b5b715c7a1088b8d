"""Fixtures for tests that fetch: a stand-in hub with a tiny model in the published listing, and an empty cache."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.vocabularies import BERT_WORDS
from blipdiff.models.subject_encoder import SubjectEncoder
from tests.support.stand_in_hub import NAME, PUBLISHED, StandInHub, ask, served
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the published listing: weights in .bin, and no vocabulary of the Q-Former."""
    folder = tmp_path_factory.mktemp("published") / "model"
    tiny = tiny_model()
    sizes = tiny.subject_encoder.sizes
    torch.manual_seed(2)
    encoder = SubjectEncoder(replace(sizes, qformer=replace(sizes.qformer, vocabulary=BERT_WORDS + 1)))
    save_model(replace(tiny, subject_encoder=encoder), folder)
    for stored in folder.rglob("*.safetensors"):
        stem = "pytorch_model" if stored.stem == "model" else stored.stem
        torch.save(load_file(stored), stored.with_name(f"{stem}.bin"))
        stored.unlink()
    for path in [*(folder / "qformer_tokenizer").iterdir(), folder / "tokenizer" / "tokenizer.json"]:
        path.unlink()
    (folder / "qformer_tokenizer").rmdir()
    for name in PUBLISHED:
        if not (folder / name).exists():
            (folder / name).write_text("{}")
    return folder


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """The stand-in hub that serves the published listing, and an empty cache."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)  # so that less than 10 MB can be cut off
    with served(StandInHub(published, NAME)) as hub:
        ask(hub, tmp_path / "cache", monkeypatch)
        yield hub
