"""Damaged tokenizers: they are read and make tokens of the table, or one sentence names the folder."""

import shutil
from pathlib import Path

import pytest
from hypothesis import strategies as st

from blipdiff.checkpoints.agreements import check_words
from blipdiff.checkpoints.configs import read_json
from blipdiff.models.tokenizers import category_ids, load_category_tokenizer, load_prompt_tokenizer, prompt_ids
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_bytes, damaged_text

TEXTS = ("a dog on a beach", "", "Größe 東京 \x00 🦊", "x" * 500)
ROWS = 600

Given = tuple[str, bytes]


def prompts(folder: Path) -> None:
    tokenizer = load_prompt_tokenizer(folder)
    check_words(tokenizer, ROWS, "prompts")
    for text in TEXTS:
        ids = prompt_ids(tokenizer, text, 24)
        assert len(ids) == 24, f"{len(ids)} tokens"
        assert all(0 <= one < ROWS for one in ids), ids


def categories(folder: Path) -> None:
    tokenizer = load_category_tokenizer(folder)
    check_words(tokenizer, ROWS, "categories")
    ids, _ = category_ids(tokenizer, ["dog", "tiger in the snow"], 512)
    assert int(ids.min()) >= 0
    assert int(ids.max()) < ROWS


def damaged(folder: Path, names: tuple[str, ...]) -> st.SearchStrategy[Given]:
    every = []
    for name in names:
        content = damaged_bytes((folder / name).read_bytes(), most=6)
        if name.endswith(".json"):
            formed = damaged_text(read_json(folder / name))
            content = st.one_of(formed, formed, content)
        every.append(st.tuples(st.just(name), content))
    return st.one_of(every)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("part", "names", "read"),
    [
        ("tokenizer", ("vocab.json", "merges.txt", "tokenizer_config.json", "tokenizer.json"), prompts),
        ("qformer_tokenizer", ("vocab.txt", "tokenizer_config.json", "tokenizer.json"), categories),
    ],
    ids=["prompts", "categories"],
)
def test_tokenizers(
    old: bool, part: str, names: tuple[str, ...], read, fuzz: Fuzz, whole_model: Path, tmp_path: Path
) -> None:
    """`old` folders hold no tokenizer.json, as published ones do not."""
    folder = Path(shutil.copytree(whole_model / part, tmp_path / part))
    if old:
        (folder / "tokenizer.json").unlink()
        names = tuple(name for name in names if name != "tokenizer.json")
    read(folder)

    def run(given: Given) -> None:
        name, content = given
        whole = (folder / name).read_bytes()
        try:
            (folder / name).write_bytes(content)
            read(folder)
        finally:
            (folder / name).write_bytes(whole)

    fuzz(damaged(folder, names), run, content=lambda given: given[0].encode() + b"\n" + given[1], share=0.5)
