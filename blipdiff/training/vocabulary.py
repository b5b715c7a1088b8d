"""Small tokenizers for a model trained from nothing: byte-pairs for prompts, WordPiece for categories.

Both are written in the layouts of the full-size checkpoints, so that the same loaders read them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.implementations import BertWordPieceTokenizer

from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

WORD_END = "</w>"
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def train_prompt_tokenizer(texts: Sequence[str], folder: Path, vocabulary: int) -> CLIPTokenizer:
    """CLIP's byte-pair encoding learned on `texts`, with every byte in it, so that any prompt can be read."""
    learned = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learned.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    spaced = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    learned.pre_tokenizer = spaced
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = [letter + WORD_END for letter in letters]
    learned.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - 2,
            initial_alphabet=letters,
            special_tokens=ends,  # numbered before any text is read: equal pairs are merged in the numbers' order
            end_of_word_suffix=WORD_END,
            show_progress=False,
        ),
    )
    merges = [tuple(pair) for pair in json.loads(learned.to_str())["model"]["merges"]]
    words = [*letters, *ends]
    words += [token for token in dict.fromkeys("".join(pair) for pair in merges) if token not in set(words)]
    words += [BEGIN, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({word: place for place, word in enumerate(words)}, ensure_ascii=False)
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "bos_token": BEGIN,
                "eos_token": END,
                "unk_token": END,
                "pad_token": END,
                "model_max_length": 77,
                "errors": "replace",
            },
            indent=1,
        )
    )
    return load_prompt_tokenizer(folder)


def train_category_tokenizer(words: Sequence[str], folder: Path, vocabulary: int) -> BertTokenizer:
    """BERT's WordPiece learned on `words`; `[DEC]` is added when it is loaded, as for the full size."""
    learned = BertWordPieceTokenizer(lowercase=True)
    letters = [chr(code) for code in range(33, 127)]
    learned.train_from_iterator(
        words,
        vocab_size=vocabulary,
        min_frequency=1,
        show_progress=False,
        special_tokens=[*_MARKS, *(f"##{letter}" for letter in letters)],
        initial_alphabet=letters,
        limit_alphabet=200,
    )
    folder.mkdir(parents=True, exist_ok=True)
    learned.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}, indent=1)
    )
    return load_category_tokenizer(folder)
