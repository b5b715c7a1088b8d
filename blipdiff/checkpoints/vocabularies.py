"""The two tokenizers of a checkpoint: where they are found, and how they are written for old and new readers."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from blipdiff.errors import CheckpointError
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_BERT = "bert-base-uncased"
BERT_WORDS = 30522  # [DEC] comes besides
_CATEGORY_FILES = ("vocab.txt", "tokenizer.json")


def category_tokenizer(
    folder: Path, vocabulary: int, given: Path | None = None, besides: Sequence[Path] = ()
) -> BertTokenizer:
    """The Q-Former's tokenizer: from `given`, the checkpoint itself, a folder beside it, or the bundled vocabulary.

    Published checkpoints do not hold it; theirs is that of bert-base-uncased, which is bundled and taken where the
    Q-Former knows as many words as it has, `vocabulary`. Raises: CheckpointError that says where to put another.
    """
    return load_category_tokenizer(category_folder(folder, vocabulary, given, besides))


def category_folder(folder: Path, vocabulary: int, given: Path | None = None, besides: Sequence[Path] = ()) -> Path:
    """Where the Q-Former's words lie; see `category_tokenizer`."""
    if given is not None:
        return given
    for place in (folder / "qformer_tokenizer", *besides, folder.parent / _BERT):
        if any((place / name).is_file() for name in _CATEGORY_FILES):
            return place
    if vocabulary == BERT_WORDS + 1:
        return Path(str(files("blipdiff"))) / "assets" / _BERT
    raise CheckpointError(
        f"The Q-Former's vocabulary is not in {folder}. Put its vocab.txt into {folder / 'qformer_tokenizer'}, or give "
        f"the folder that holds it as the Q-Former's tokenizer: it knows {vocabulary} words, the bundled "
        f"vocabulary of {_BERT} has {BERT_WORDS} and [DEC]."
    )


def prompt_tokenizer(folder: Path, besides: Sequence[Path] = ()) -> CLIPTokenizer:
    """The prompts' tokenizer from `tokenizer/` of the checkpoint, or of one of the other folders.

    Raises: CheckpointError when none has it.
    """
    for place in (folder, *besides):
        if (place / "tokenizer").is_dir():
            return load_prompt_tokenizer(place / "tokenizer")
    return load_prompt_tokenizer(folder / "tokenizer")


def save_prompt_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Today's files, and vocab.json with merges.txt for older libraries."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")


def save_category_tokenizer(tokenizer: BertTokenizer, folder: Path) -> None:
    """Today's files, and vocab.txt for older libraries; `[DEC]` is no line of it, since readers add it."""
    tokenizer.save_pretrained(folder)
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    words = sorted(vocabulary, key=lambda word: int(vocabulary[word]))
    (folder / "vocab.txt").write_text("\n".join([*words, ""]), encoding="utf-8")
