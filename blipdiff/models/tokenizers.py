"""Prompts and categories -> token ids, with the tokenizers that lie in the checkpoint's folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from blipdiff.conditioning.prompt import TOKENIZING
from blipdiff.errors import CheckpointError, PromptError
from blipdiff.foreign import foreign
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_TRIED, _TRIED_LENGTH = "a photo of a dog", 16  # what every tokenizer is asked once
_LARGEST = 64 * 2**20


def load_prompt_tokenizer(folder: Path) -> CLIPTokenizer:
    """The byte-pair tokenizer of the prompts, from `vocab.json` and `merges.txt`.

    Raises: CheckpointError when the folder lacks them, or they are damaged.
    """
    if not (folder / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).is_file():
                raise CheckpointError(f"The prompt tokenizer needs {name} in {folder}; the checkpoint is incomplete.")
    _check_sizes(folder)
    with foreign(folder, "a folder with a tokenizer of prompts"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        tried = tokenizer(_TRIED, padding="max_length", truncation=True, max_length=_TRIED_LENGTH).input_ids
    _check_tried(folder, tokenizer, ("bos", "eos", "pad"), tried, len(tried) == _TRIED_LENGTH)
    return tokenizer


def load_category_tokenizer(folder: Path) -> BertTokenizer:
    """The WordPiece tokenizer of the categories, from `vocab.txt`; `[DEC]` is added as the original does.

    Raises: CheckpointError when the folder has no vocabulary, or a damaged one.
    """
    if not any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        raise CheckpointError(f"The Q-Former's vocabulary (vocab.txt of bert-base-uncased) is not in {folder}.")
    _check_sizes(folder)
    with foreign(folder, "a folder with a tokenizer of categories"):
        tokenizer = BertTokenizer.from_pretrained(folder, bos_token="[DEC]", local_files_only=True)
        tried = tokenizer(_TRIED).input_ids
    _check_tried(folder, tokenizer, ("cls", "sep", "pad", "unk"), tried, 1 <= len(tried) <= 4 * len(_TRIED))
    return tokenizer


def _check_sizes(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix in (".json", ".txt") and path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{path} is larger than {_LARGEST >> 20} MB; it is no tokenizer's file.")


def _check_tried(
    folder: Path, tokenizer: CLIPTokenizer | BertTokenizer, needed: Sequence[str], ids: object, right: bool
) -> None:
    """A tokenizer has its special tokens, and makes numbers of a text."""
    missing = [name for name in needed if not isinstance(getattr(tokenizer, f"{name}_token_id"), int)]
    if missing or not right or not isinstance(ids, list) or not all(isinstance(one, int) and one >= 0 for one in ids):
        lacks = f"it has no {' and no '.join(missing)} token" if missing else f"of '{_TRIED}' it makes {str(ids)[:60]}"
        raise CheckpointError(f"The tokenizer in {folder} is not usable: {lacks}.")


def prompt_ids(tokenizer: CLIPTokenizer | WordsTokenizer, text: str, length: int) -> list[int]:
    """Exactly `length` ids: begin, words, end, padding; words that do not fit are cut before the end mark."""
    with TOKENIZING:
        encoded = tokenizer(text, padding="max_length", truncation=True, max_length=length)
    ids: list[int] = encoded.input_ids
    return ids


def category_ids(tokenizer: BertTokenizer, categories: Sequence[str], positions: int) -> tuple[Tensor, Tensor]:
    """ids and mask, each (n, words of the longest category), right-padded.

    Raises: PromptError for an empty category or one with more tokens than the Q-Former has positions.
    """
    for category in categories:
        if not category.strip():
            raise PromptError("The subject's category is empty; say in a word or two what the photo shows: 'dog'.")
    with TOKENIZING:
        rows = [tokenizer(category).input_ids for category in categories]
    longest = max(len(row) for row in rows)
    if longest > positions:
        raise PromptError(
            f"A category is {longest} tokens long; the model reads at most {positions}. "
            "Say in a word or two what the photo shows: 'dog'."
        )
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask
