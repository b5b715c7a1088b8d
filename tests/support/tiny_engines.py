"""Small random networks that answer questions about photos, as their files lie on the hub."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipConfig,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from blipdiff.checkpoints.configs import photo_config, write_json
from blipdiff.images import PhotoSettings
from blipdiff.training.vocabulary import train_category_tokenizer

SIDE, QUERIES = 32, 4
SENTENCES = (
    "what is it ? a dog on grass",
    "is it a cat in the snow ? yes or no",
    "question : answer : short a photo of",
)
SPOKEN = ("<pad>", "</s>", "<unk>", *dict.fromkeys(" ".join(SENTENCES).split()), "yes", "no", "red", "blue", "picture")
_SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
_VISION = {**_SIZES, "image_size": SIDE, "patch_size": 8}


def save_blip(kind: Any, folder: Path) -> None:
    """One of BLIP's networks: for questions, captions or matches."""
    torch.manual_seed(0)
    words = train_category_tokenizer(list(SENTENCES), folder, 200)
    marks = {"bos_token_id": words.bos_token_id, "sep_token_id": words.sep_token_id, "pad_token_id": 0}
    text = {**_SIZES, **marks, "vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 64}
    config = BlipConfig(text_config=text, vision_config=_VISION, projection_dim=8, image_text_hidden_size=8)
    _save(kind(config), folder)


def save_blip_2(folder: Path, language: str = "opt", **changed: Any) -> None:
    """BLIP-2 with OPT or T5; changed: fields of its configuration."""
    torch.manual_seed(1)
    tokenizer = save_words(folder)
    former = {**_SIZES, "vocab_size": 60, "encoder_hidden_size": 16, "cross_attention_frequency": 1}
    fields = {"num_query_tokens": QUERIES, "image_token_index": _image_token(tokenizer, folder)} | changed
    config = Blip2Config(
        vision_config=_VISION, qformer_config=former, text_config=_language(language, len(SPOKEN)), **fields
    )
    _save(Blip2ForConditionalGeneration(config), folder)


def save_instructblip(folder: Path, language: str = "t5") -> None:
    """InstructBLIP with T5."""
    torch.manual_seed(2)
    tokenizer = save_words(folder)
    read = train_category_tokenizer(list(SENTENCES), folder / "qformer_tokenizer", 200)
    former = {**_SIZES, "vocab_size": len(read), "encoder_hidden_size": 16, "cross_attention_frequency": 1}
    config = InstructBlipConfig(
        vision_config=_VISION,
        qformer_config=former,
        text_config=_language(language, len(SPOKEN)),
        num_query_tokens=QUERIES,
        image_token_index=_image_token(tokenizer, folder),
    )
    _save(InstructBlipForConditionalGeneration(config), folder)


def save_reader(folder: Path) -> None:
    """A T5."""
    torch.manual_seed(3)
    fields = _language("t5", len(save_words(folder)))
    T5ForConditionalGeneration(T5Config(**fields)).save_pretrained(folder)


def save_words(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, which ends each text as T5's does."""
    known = Tokenizer(models.WordLevel({word: place for place, word in enumerate(SPOKEN)}, unk_token="<unk>"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    known.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=known, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="</s>"
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _language(name: str, words: int) -> dict[str, Any]:
    marks = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "vocab_size": words + 3}
    if name == "opt":
        own = {"hidden_size": 16, "ffn_dim": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
        return {"model_type": "opt", "word_embed_proj_dim": 16, "max_position_embeddings": 128, **own, **marks}
    own = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    return {"model_type": "t5", **own, **marks}


def _image_token(tokenizer: PreTrainedTokenizerFast, folder: Path) -> int:
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    return int(tokenizer.convert_tokens_to_ids("<image>"))


def _save(network: Any, folder: Path) -> None:
    for weight in network.parameters():
        if weight.dim() > 1:  # a new network's weights are so small that it says the same of everything
            torch.nn.init.normal_(weight, std=0.3)
    network.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", photo_config(PhotoSettings(side=SIDE)))
