"""Damaged weights: a network is filled with finite numbers, or one sentence names the file; no code is run."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from blipdiff.checkpoints.finetuned import cached_subject
from blipdiff.checkpoints.parts import load_text_encoder
from blipdiff.checkpoints.weights import open_tensors, stored_object
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes, damaged_text


def stored(whole_model: Path, kind: str) -> bytes:
    tensors = load_file(whole_model / "text_encoder" / "model.safetensors")
    if kind == "safetensors":
        return save(tensors, {"format": "pt"})
    content = io.BytesIO()
    torch.save(tensors, content, _use_new_zipfile_serialization=kind == "zip")
    return content.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("safetensors", "model.safetensors"), ("zip", "pytorch_model.bin"), ("legacy", "pytorch_model.bin")],
)
def test_weights(kind: str, name: str, fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((whole_model / "text_encoder" / "config.json").read_bytes())

    def read(content: bytes) -> None:
        (tmp_path / name).unlink(missing_ok=True)  # the last one may be mapped still
        (tmp_path / name).write_bytes(content)
        net = load_text_encoder(tmp_path)
        assert all(bool(value.isfinite().all()) for value in net.state_dict().values())

    whole = stored(whole_model, kind)
    read(whole)
    fuzz(damaged_bytes(whole), read, content=bytes, share=0.5)


def test_headers_of_safetensors(fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    import json

    whole = stored(whole_model, "safetensors")
    length = int.from_bytes(whole[:8], "little")
    header, numbers = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    header = {name: header[name] for name in list(header)[:6]}
    path = tmp_path / "model.safetensors"

    def read(text: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
        open_tensors(path)

    fuzz(damaged_text(header), read, content=bytes, share=0.5)


def test_indexes_of_split_weights(fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((whole_model / "text_encoder" / "config.json").read_bytes())
    (tmp_path / "a.safetensors").write_bytes(stored(whole_model, "safetensors"))
    names = load_file(tmp_path / "a.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "a.safetensors")}

    def read(content: bytes) -> None:
        (tmp_path / "model.safetensors.index.json").write_bytes(content)
        load_text_encoder(tmp_path)

    fuzz(damaged_text(index), read, content=bytes, share=0.25)


class Harm:
    """What a pickle does that must not be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))  # type: ignore[return-value]


def test_pickles_that_run_code(fuzz: Fuzz, tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"a": torch.ones(3), "b": Harm(tmp_path / "harmed")}, content)
    legacy = io.BytesIO()
    torch.save({"a": torch.ones(3), "b": Harm(tmp_path / "harmed")}, legacy, _use_new_zipfile_serialization=False)
    plain = pickle.dumps({"b": Harm(tmp_path / "harmed")})
    path = tmp_path / "model.bin"

    def read(data: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            stored_object(path)
        finally:
            assert not (tmp_path / "harmed").exists()

    every = [damaged_bytes(one) for one in (content.getvalue(), legacy.getvalue(), plain)]
    fuzz(st.one_of(every), read, content=bytes, share=0.5)


def test_cached_subjects(fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    from blipdiff.checkpoints import load_model

    model = load_model(whole_model)
    content = io.BytesIO()
    torch.save(torch.randn(1, 4, 16), content)
    path = tmp_path / "ctx_embeddings_cache.pt"

    def read(data: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        cached_subject(path, model)

    read(content.getvalue())
    fuzz(damaged_bytes(content.getvalue()), read, content=bytes, share=0.25)
