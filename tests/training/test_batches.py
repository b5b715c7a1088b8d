"""Batches: each comes from its seed and its number alone, whoever draws it and whenever."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from blipdiff.data import PairLibrary
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.training.batches import (
    CATEGORY_TOKENS,
    PhotoBatches,
    SubjectBatches,
    TargetBatches,
    made_up_word,
    stream,
)
from blipdiff.training.stage2 import RowShares
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer
from tests.training.conftest import SIDE

SHARES = RowShares(subject=5, words=2, nothing=1)
POSITIONS, SLOTS = 32, 16


@pytest.fixture(scope="module")
def tokenizers(library: PairLibrary, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("tokenizers")
    texts = [f"a {pair.category} {pair.prompt}" for pair in (library.draw(index, 0) for index in range(40))]
    return train_prompt_tokenizer(texts, folder / "p", 700), train_category_tokenizer(texts, folder / "c", 200)


def batches(library: PairLibrary, tokenizers, seed: int = 3) -> SubjectBatches:
    return SubjectBatches(library, *tokenizers, SHARES, positions=POSITIONS, subject_slots=SLOTS, seed=seed)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_batch_has_rows_with_subject_then_words_then_nothing(library: PairLibrary, tokenizers) -> None:
    batch = batches(library, tokenizers)[4]
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in batch.items()}
    assert shapes == {
        "target": ((8, 3, SIDE, SIDE), torch.uint8),
        "mask": ((8, SIDE, SIDE), torch.uint8),
        "photo": ((5, 3, SIDE, SIDE), torch.uint8),
        "short_ids": ((5, POSITIONS - SLOTS), torch.int64),
        "long_ids": ((3, POSITIONS), torch.int64),
        "category_ids": ((5, CATEGORY_TOKENS), torch.int64),
        "category_mask": ((5, CATEGORY_TOKENS), torch.int64),
    }
    assert batch["long_ids"][-1].tolist() == prompt_ids(tokenizers[0], "", POSITIONS)
    assert batch["long_ids"][0].tolist() != prompt_ids(tokenizers[0], "", POSITIONS)
    assert bool((batch["category_mask"].sum(1) >= 3).all())


def test_rows_are_the_pairs_of_the_library_in_their_order(library: PairLibrary, tokenizers) -> None:
    batch = batches(library, tokenizers)[4]
    for row in range(8):
        pair = library.draw(4 * 8 + row, 3)
        assert np.array_equal(batch["target"][row].permute(1, 2, 0).numpy(), pair.target)
        assert np.array_equal(batch["mask"][row].numpy(), pair.mask)
        if row < SHARES.subject:
            assert np.array_equal(batch["photo"][row].permute(1, 2, 0).numpy(), pair.photo)


def test_a_batch_depends_on_seed_and_number_alone(library: PairLibrary, tokenizers) -> None:
    first, second = batches(library, tokenizers), batches(library, tokenizers)
    assert same(second[7], first[7])
    first[1]
    assert same(first[7], second[7])
    assert not same(first[7], first[8])
    assert not same(first[7], batches(library, tokenizers, seed=4)[7])


def test_made_up_words_are_many_and_depend_on_the_seed_alone() -> None:
    words = [made_up_word(np.random.default_rng(seed)) for seed in range(200)]
    assert words == [made_up_word(np.random.default_rng(seed)) for seed in range(200)]
    assert len(set(words)) > 150
    assert all(word.replace(" ", "").isalpha() and len(word) < 60 for word in words)


def test_some_subjects_are_told_by_words_that_nobody_knows(library: PairLibrary, tokenizers) -> None:
    told = [row for step in range(6) for row in batches(library, tokenizers)[step]["short_ids"].tolist()]
    names = {tuple(prompt_ids(tokenizers[0], f"a {record.category}", 6)[1:3]) for record in library.records}
    share = sum(tuple(row[1:3]) not in names for row in told) / len(told)
    assert 0.05 < share < 0.5


def test_a_stream_goes_on_where_it_is_told_to(library: PairLibrary, tokenizers) -> None:
    dataset = batches(library, tokenizers)
    whole = list(stream(dataset, 0, 5))
    rest = list(stream(dataset, 3, 5))
    assert [len(whole), len(rest)] == [5, 2]
    assert all(same(batch, dataset[step]) for step, batch in enumerate(whole))
    assert all(same(one, other) for one, other in zip(rest, whole[3:], strict=True))
    assert list(stream(dataset, 5, 5)) == []


def test_photos_and_targets_alone_are_repeatable_too(library: PairLibrary, tokenizers) -> None:
    photos, targets = PhotoBatches(library, tokenizers[1], 6, seed=1), TargetBatches(library, 6, seed=1)
    assert same(photos[2], photos[2])
    assert not same(photos[2], photos[3])
    assert set(photos[0]) == {"photo", "category_ids", "category_mask"}
    assert photos[0]["photo"].shape == (6, 3, SIDE, SIDE)
    assert same(targets[2], targets[2])
    assert not same(targets[2], targets[3])
    assert targets[0]["target"].dtype == torch.uint8
