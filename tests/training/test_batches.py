"""Batches: each comes from its seed and its number alone, whoever draws it and whenever."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from blipdiff.data import PairLibrary
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.training.batches import (
    PhotoBatches,
    SubjectBatches,
    TargetBatches,
    Wording,
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


def batches(library: PairLibrary, tokenizers, seed: int = 3, wording: Wording | None = None) -> SubjectBatches:
    return SubjectBatches(
        library, *tokenizers, SHARES, positions=POSITIONS, subject_slots=SLOTS, seed=seed, wording=wording
    )


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
        "category_ids": ((5, 32), torch.int64),
        "category_mask": ((5, 32), torch.int64),
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


def test_unknown_words_repetitions_and_cuts_are_what_the_recipe_asks_for(library: PairLibrary, tokenizers) -> None:
    names = {tuple(prompt_ids(tokenizers[0], f"a {record.category}", 6)[1:3]) for record in library.records}
    comma = prompt_ids(tokenizers[0], "cat, cat", 8)[2]

    def told(wording: Wording | None) -> list[list[int]]:
        drawn = [batches(library, tokenizers, wording=wording)[step] for step in range(6)]
        return [row for batch in drawn for row in batch["short_ids"].tolist()]

    def unknown(rows: list[list[int]]) -> float:
        return sum(tuple(row[1:3]) not in names for row in rows) / len(rows)

    def commas(rows: list[list[int]]) -> int:
        return sum(row.count(comma) for row in rows)

    assert unknown(told(None)) == 0
    assert 0.05 < unknown(told(Wording(made_up=0.25))) < 0.5
    assert commas(told(Wording(repeated=1.0))) > commas(told(None))
    assert batches(library, tokenizers, wording=Wording(category_tokens=3))[0]["category_ids"].shape == (5, 3)


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
