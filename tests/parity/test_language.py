"""Engines against transformers' own processors and calls, and against the steps of PnP-VQA, on small random networks.

transformers 5.23, float32, one processor: the same networks and the same numbers go in, so 1e-5 leaves room for the
order of sums alone.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Blip2Processor,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
    InstructBlipProcessor,
)

from blipdiff.language.answers import Speaking
from blipdiff.language.captioners import load_captioner, load_matcher
from blipdiff.language.engines import load_engine
from blipdiff.language.plug_and_play import reading
from tests.support.tiny_engines import QUERIES, SIDE, save_blip, save_blip_2, save_instructblip, save_reader
from tests.support.tiny_models import photo

QUESTION, CLOSE = "is it a dog on grass ?", {"rtol": 1e-5, "atol": 1e-5}
VIEW = photo(4, (50, 40))


def image_processor() -> BlipImageProcessor:
    return BlipImageProcessor(size={"height": SIDE, "width": SIDE})


def words(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("language", ["opt", "t5"])
def test_blip_2(language: str, tmp_path: Path) -> None:
    save_blip_2(tmp_path, language)
    processor = Blip2Processor(image_processor(), words(tmp_path), num_query_tokens=QUERIES)
    check_conditional("blip-2", tmp_path, processor)


@pytest.mark.parametrize("language", ["opt", "t5"])
def test_instructblip(language: str, tmp_path: Path) -> None:
    save_instructblip(tmp_path, language)
    read = words(tmp_path / "qformer_tokenizer")
    processor = InstructBlipProcessor(image_processor(), words(tmp_path), read, num_query_tokens=QUERIES)
    check_conditional("instructblip", tmp_path, processor)


def check_conditional(name: str, folder: Path, processor: Any) -> None:
    engine: Any = load_engine(name, weights={"weights": folder})
    text = engine.wording.asked(QUESTION, ())
    theirs = processor(images=VIEW, text=text, return_tensors="pt")
    ours = engine.inputs(VIEW, text)
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    torch.testing.assert_close(ours["pixel_values"], theirs["pixel_values"].float(), **CLOSE)
    with torch.no_grad():
        if engine.network.config.use_decoder_only_language_model:
            logits = engine.network(**theirs).logits[0, -1]
        else:
            logits = engine.network(**theirs, decoder_input_ids=torch.zeros(1, 1, dtype=torch.long)).logits[0, -1]
        torch.testing.assert_close(engine.scores(VIEW, text), logits, **CLOSE)
        ids = engine.network.generate(**theirs, num_beams=3, max_new_tokens=5, length_penalty=-1.0)
    said = engine.answer(VIEW, QUESTION, speaking=Speaking(beams=3, longest=5, length_penalty=-1.0)).text
    prompt, spoken = (processor.batch_decode(one, skip_special_tokens=True)[0] for one in (theirs["input_ids"], ids))
    assert said == spoken.removeprefix(prompt).strip()


def test_blip_for_questions(tmp_path: Path) -> None:
    save_blip(BlipForQuestionAnswering, tmp_path)
    engine: Any = load_engine("blip-vqa", weights={"weights": tmp_path})
    theirs = BlipProcessor(image_processor(), engine.tokenizer)(images=VIEW, text=QUESTION, return_tensors="pt")
    found = engine.network.generate(**theirs, max_new_tokens=5, return_dict_in_generate=True, output_logits=True)
    with torch.no_grad():
        torch.testing.assert_close(engine.scores(VIEW, QUESTION), found.logits[0][0], **CLOSE)
    spoken = engine.tokenizer.batch_decode(found.sequences, skip_special_tokens=True)[0]
    assert engine.answer(VIEW, QUESTION, speaking=Speaking(longest=5)).text == spoken.strip()


def test_relevance_is_that_of_the_papers_code(tmp_path: Path) -> None:
    """Attention and its gradient, as `compute_gradcam` of LAVIS takes them, written out on transformers' network."""
    save_blip(BlipForImageTextRetrieval, tmp_path)
    matcher = load_matcher(tmp_path)
    network, tokenizer = matcher.network, matcher.tokenizer
    theirs = BlipProcessor(image_processor(), tokenizer)(images=VIEW, text=QUESTION.strip("?"), return_tensors="pt")
    block = network.text_encoder.encoder.layer[0].crossattention.self
    kept: list[torch.Tensor] = []

    def keep(_layer: Any, _given: Any, output: Any) -> None:
        output[1].retain_grad()
        kept.append(output[1])

    hook = block.register_forward_hook(keep)
    network.requires_grad_(True)
    network(**theirs, use_itm_head=True).itm_score[:, 1].sum().backward()
    hook.remove()
    cams, grads = (
        kept[0][:, :, :, 1:].reshape(1, 2, -1, 4, 4),
        kept[0].grad[:, :, :, 1:].clamp(0).reshape(1, 2, -1, 4, 4),
    )
    maps = (cams * grads)[0].mean(0)  # (words, rows, columns)
    length = int(theirs["attention_mask"].sum()) - 2
    average = maps[1 : length + 1].sum(dim=0) / length
    network.requires_grad_(False)
    found = matcher.relevance(VIEW, QUESTION.strip("?"))
    torch.testing.assert_close(found, (average / average.sum()).detach(), **CLOSE)


def test_captions_of_all_patches_without_the_class_row_are_those_of_the_decoder(tmp_path: Path) -> None:
    save_blip(BlipForConditionalGeneration, tmp_path)
    captioner = load_captioner(tmp_path)
    pixels = image_processor()(VIEW, return_tensors="pt")["pixel_values"]
    network = captioner.network
    config = network.config.text_config
    with torch.no_grad(), torch.random.fork_rng():
        patches = network.vision_model(pixel_values=pixels).last_hidden_state[:, [2, 5, 7, 16]]
        torch.manual_seed(9)
        ids = network.text_decoder.generate(
            input_ids=torch.tensor([[config.bos_token_id]]), encoder_hidden_states=patches, do_sample=True, top_k=50,
            eos_token_id=config.sep_token_id, pad_token_id=config.pad_token_id, max_length=24, top_p=1.0,
        )  # fmt: skip
    theirs = captioner.tokenizer.batch_decode(ids, skip_special_tokens=True)[0].strip()
    assert captioner.captions_of(VIEW, torch.tensor([[1, 4, 6, 15]]), 9) == [theirs]  # numbered without the class row


def test_the_reader_decodes_all_captions_together(tmp_path: Path) -> None:
    for name, kind in (("matcher", BlipForImageTextRetrieval), ("captioner", BlipForConditionalGeneration)):
        save_blip(kind, tmp_path / name)
    save_reader(tmp_path / "reader")
    parts = {name: tmp_path / name for name in ("matcher", "captioner", "reader")}
    reader = load_engine("plug-and-play", weights=parts).reader  # type: ignore[attr-defined]
    texts = ["a dog on grass", "snow"]
    rows, mask = reader.encoded(QUESTION, texts)
    begin = torch.zeros(1, 1, dtype=torch.long)
    found = reader.network(encoder_outputs=(rows,), attention_mask=mask, decoder_input_ids=begin).logits
    alone = [reader.tokenizer(reading(QUESTION, text), return_tensors="pt").input_ids for text in texts]
    states = torch.cat([reader.network.encoder(input_ids=ids).last_hidden_state for ids in alone], dim=1)
    theirs = reader.network(encoder_outputs=(states,), decoder_input_ids=begin).logits
    torch.testing.assert_close(found, theirs, **CLOSE)
