import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import OutputError, PromptError, ShapeError, SubjectError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def subject() -> SubjectEmbedding:
    return SubjectEmbedding(
        tokens=torch.randn(16, 32, generator=torch.Generator().manual_seed(0)),
        category="tëddy bear 🧸",
        thumbnail=Image.radial_gradient("L").resize((48, 32)).convert("RGB"),
        fingerprint="model-a",
        provenance={"photo": "teddy.png", "fit": "crop"},
    )


def test_a_card_that_is_saved_and_loaded_is_equal(subject, tmp_path):
    path = subject.save(tmp_path / "teddy.safetensors")
    loaded = SubjectEmbedding.load(path)
    assert torch.equal(loaded.tokens, subject.tokens)
    assert loaded.category == subject.category
    assert loaded.fingerprint == subject.fingerprint
    assert loaded.provenance == subject.provenance
    assert loaded.thumbnail.tobytes() == subject.thumbnail.tobytes()
    assert names(tmp_path) == ["teddy.safetensors"]


def test_a_card_with_nothing_but_its_tokens_is_saved_and_loaded(tmp_path):
    bare = SubjectEmbedding(torch.ones(16, 8, dtype=torch.float16), "dog")
    loaded = SubjectEmbedding.load(bare.save(tmp_path / "dog.card"))
    assert torch.equal(loaded.tokens, bare.tokens)
    assert (loaded.thumbnail, loaded.fingerprint, loaded.provenance) == (None, None, None)


def test_a_card_replaces_an_older_one(subject, tmp_path):
    path = tmp_path / "card.safetensors"
    subject.save(path)
    SubjectEmbedding(torch.zeros(16, 32), "cat").save(path)
    assert SubjectEmbedding.load(path).category == "cat"


def test_a_card_that_cannot_be_written_is_reported_and_leaves_nothing(subject, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        subject.save(tmp_path / "file" / "card.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        subject.save(tmp_path / "folder")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


@pytest.mark.parametrize("content", [b"", b"x", b"not a card" * 100, b"\x89PNG\r\n\x1a\n" + bytes(64), b"\xff" * 64])
def test_a_file_that_is_no_card_is_refused(tmp_path, content):
    path = tmp_path / "card.safetensors"
    path.write_bytes(content)
    with pytest.raises(SubjectError, match="subject card"):
        SubjectEmbedding.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(SubjectError, match="No such file"):
        SubjectEmbedding.load(tmp_path / "none")
    with pytest.raises(SubjectError, match="no subject card"):
        SubjectEmbedding.load(tmp_path)


def test_a_card_cut_at_any_place_is_refused(subject, tmp_path):
    content = subject.save(tmp_path / "card").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(SubjectError):
            SubjectEmbedding.load(tmp_path / "cut")


def test_a_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SubjectError, match="at most"):
        SubjectEmbedding.load(tmp_path / "huge")


def test_another_safetensors_file_is_refused(tmp_path):
    save_file({"tokens": torch.zeros(16, 32)}, tmp_path / "weights.safetensors")
    with pytest.raises(SubjectError, match="no subject card"):
        SubjectEmbedding.load(tmp_path / "weights.safetensors")


TEXTS = {"format": "blipdiff-subject", "version": "1", "category": "dog"}
BAD_CARDS = {
    "of a later version": ({"tokens": torch.zeros(16, 32)}, {**TEXTS, "version": "99"}),
    "without tokens": ({"other": torch.zeros(16, 32)}, TEXTS),
    "without a category": ({"tokens": torch.zeros(16, 32)}, {**TEXTS, "category": " "}),
    "with a control character": ({"tokens": torch.zeros(16, 32)}, {**TEXTS, "category": "d\x00g"}),
    "of three axes": ({"tokens": torch.zeros(1, 16, 32)}, TEXTS),
    "of no slots": ({"tokens": torch.zeros(0, 32)}, TEXTS),
    "of an absurd width": ({"tokens": torch.zeros(1, 100_000)}, TEXTS),
    "of whole numbers": ({"tokens": torch.zeros(16, 32, dtype=torch.int64)}, TEXTS),
    "with not-a-number": ({"tokens": torch.full((16, 32), float("nan"))}, TEXTS),
    "with a broken thumbnail": ({"tokens": torch.zeros(16, 32), "thumbnail": torch.zeros(9, dtype=torch.uint8)}, TEXTS),
    "with a thumbnail of floats": ({"tokens": torch.zeros(16, 32), "thumbnail": torch.zeros(9)}, TEXTS),
    "with broken provenance": ({"tokens": torch.zeros(16, 32)}, {**TEXTS, "provenance": "{"}),
    "with a list for provenance": ({"tokens": torch.zeros(16, 32)}, {**TEXTS, "provenance": json.dumps([1])}),
}


@pytest.mark.parametrize("kind", BAD_CARDS)
def test_a_damaged_card_is_refused(tmp_path, kind):
    tensors, texts = BAD_CARDS[kind]
    save_file(tensors, tmp_path / "bad", metadata=texts)
    with pytest.raises(SubjectError):
        SubjectEmbedding.load(tmp_path / "bad")


def test_a_thumbnail_that_unpacks_to_a_flood_of_pixels_is_refused(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + bytes(4)

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    tensors = {"tokens": torch.zeros(16, 32), "thumbnail": torch.frombuffer(bytearray(bomb), dtype=torch.uint8)}
    save_file(tensors, tmp_path / "bomb", metadata=TEXTS)
    with pytest.raises(SubjectError):
        SubjectEmbedding.load(tmp_path / "bomb")


def test_a_thumbnail_larger_than_thumbnails_are_is_refused(subject, tmp_path):
    large = replace(subject, thumbnail=Image.new("RGB", (1025, 4)))
    with pytest.raises(SubjectError, match="1025 x 4"):
        SubjectEmbedding.load(large.save(tmp_path / "large"))


def test_a_subject_of_another_model_is_refused_naming_both(subject):
    subject.check_model("model-a", 32)
    with pytest.raises(SubjectError, match=r"model-a.*model-b"):
        subject.check_model("model-b", 32)
    with pytest.raises(SubjectError, match=r"width 32.*width 768"):
        subject.check_model("model-a", 768)


def test_a_subject_without_fingerprint_is_checked_by_its_width():
    SubjectEmbedding(torch.zeros(16, 32), "dog").check_model("any", 32)


def test_a_subject_of_another_shape_or_without_category_is_refused():
    with pytest.raises(ShapeError, match="16, width"):
        SubjectEmbedding(torch.zeros(32), "dog")
    with pytest.raises(PromptError, match="category"):
        SubjectEmbedding(torch.zeros(16, 32), "")
    with pytest.raises(PromptError, match="category"):
        SubjectPhoto(Image.new("RGB", (8, 8)), " ")
