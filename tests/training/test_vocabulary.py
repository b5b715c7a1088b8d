"""Tokenizers learned from a few texts: the same texts give the same files, and any text can be read."""

from pathlib import Path

import pytest

from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer

TEXTS = [f"a {animal} number {n} on a {place}" for n, animal in enumerate(("dog", "cat", "bird") * 20) for place in
         ("beach", "red rug", "snowy field")]  # fmt: skip
ANYTHING = ["", "A DOG", "über 猫 🐶", "\x00\x7f", "<|endoftext|>x", "x" * 500, "don't  stop\n"]


@pytest.mark.parametrize("train", [train_prompt_tokenizer, train_category_tokenizer])
def test_the_same_texts_give_the_same_files(train, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        train(TEXTS, tmp_path / name, 620)
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
        assert (tmp_path / "three" / path.name).read_bytes() == path.read_bytes()


def test_words_of_the_texts_become_few_tokens_and_every_text_can_be_read(tmp_path: Path) -> None:
    tokenizer = train_prompt_tokenizer(TEXTS, tmp_path, 700)
    assert tokenizer.tokenize("a dog on a beach") == ["a</w>", "dog</w>", "on</w>", "a</w>", "beach</w>"]
    assert len(tokenizer) <= 700
    for text in ANYTHING:
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids[-1] == tokenizer.eos_token_id
        assert max(ids) < len(tokenizer)
    letters = tokenizer.decode(tokenizer("ein hund, 猫 🐶").input_ids, skip_special_tokens=True)
    assert letters.replace(" ", "") == "einhund,猫🐶"


def test_categories_are_words_between_marks(tmp_path: Path) -> None:
    tokenizer = train_category_tokenizer(TEXTS, tmp_path, 400)
    assert tokenizer.tokenize("Dog") == ["dog"]
    assert "[UNK]" not in tokenizer.tokenize("quokka!"), "any word of plain letters can be spelt"
    ids = tokenizer("dog").input_ids
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.bos_token == "[DEC]"
    for text in ANYTHING:
        assert max(tokenizer(text).input_ids) < len(tokenizer)
