"""Engines of transformers on small random networks: they look at the photo, answer, and say where they looked."""

from pathlib import Path

import pytest
import torch
from transformers import (
    Blip2ForConditionalGeneration,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

from blipdiff.checkpoints.needed import network_files
from blipdiff.devices import placement
from blipdiff.errors import CheckpointError, ConfigError, PromptError
from blipdiff.language.answers import Answer, Engine, Speaking, Turn
from blipdiff.language.conditional import ConditionalEngine
from blipdiff.language.engines import ENGINES, load_engine
from blipdiff.language.looking import check_looks, trial_photos
from tests.support.tiny_engines import save_blip, save_blip_2, save_instructblip, save_reader
from tests.support.tiny_models import photo

QUESTION = "what is it ?"
NAMES = ("blip-vqa", "plug-and-play", "blip-2", "blip-2 t5", "instructblip")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """By engine, its parts' folders."""
    place = tmp_path_factory.mktemp("engines")
    save_blip(BlipForQuestionAnswering, place / "vqa")
    save_blip(BlipForImageTextRetrieval, place / "matcher")
    save_blip(BlipForConditionalGeneration, place / "captioner")
    save_reader(place / "reader")
    save_blip_2(place / "opt")
    save_blip_2(place / "t5", "t5")
    save_instructblip(place / "instruct")
    return {
        "blip-vqa": {"weights": place / "vqa"},
        "plug-and-play": {name: place / name for name in ("matcher", "captioner", "reader")},
        "blip-2": {"weights": place / "opt"},
        "blip-2 t5": {"weights": place / "t5"},
        "instructblip": {"weights": place / "instruct"},
    }


@pytest.fixture(scope="module")
def engines(weights: dict[str, dict[str, Path]]) -> dict[str, Engine]:
    return {name: load_engine(name.split()[0], weights=parts) for name, parts in weights.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_answers_captions_and_matches(engines: dict[str, Engine], name: str) -> None:
    engine, (first, second) = engines[name], trial_photos()
    speaking = Speaking(longest=4)
    said = engine.answer(first, QUESTION, speaking=speaking)
    assert said == engine.answer(first, QUESTION, speaking=speaking)
    beams = engine.answer(first, QUESTION, speaking=Speaking(longest=4, beams=3)).chances
    assert len(beams) == 3
    assert sum(share for _, share in beams) == pytest.approx(1)
    drawn = [engine.answer(first, QUESTION, speaking=Speaking(longest=6, temperature=2.0, seed=s)).text for s in (5, 5)]
    assert drawn[0] == drawn[1]
    assert len(engine.captions(first, 3)) == 3
    matches = [engine.matches(one, ["a dog", "a cat"]) for one in (first, second)]
    assert matches[0] != matches[1]
    assert all(0 <= match <= 1 for match in matches[0])
    assert engine.name in engine.about


@pytest.mark.parametrize("name", NAMES)
def test_where_an_engine_looked_is_a_share_of_each_patch_and_depends_on_the_question(
    engines: dict[str, Engine], name: str
) -> None:
    engine, view = engines[name], photo(3, (40, 30))
    looked = [engine.looked(view, asked, Answer(text)).shares for asked, text in (("a dog ?", "dog"), ("snow ?", "no"))]
    assert looked[0].shape == (4, 4)
    assert float(looked[0].sum()) == pytest.approx(1)
    assert float((looked[0] - looked[1]).abs().sum()) > 0.01


@pytest.mark.parametrize("name", ["blip-2", "blip-2 t5", "instructblip"])
def test_what_was_said_before_is_read(engines: dict[str, Engine], name: str) -> None:
    engine = engines[name]
    assert isinstance(engine, ConditionalEngine)
    before = (Turn("is it a dog ?", "yes"),)
    alone, after = (engine.inputs(photo(0), engine.wording.asked(QUESTION, turns)) for turns in ((), before))
    assert after["input_ids"].shape[1] > alone["input_ids"].shape[1]


def test_looking_leaves_every_engine_as_it_was(engines: dict[str, Engine]) -> None:
    engine = engines["blip-2"]
    assert isinstance(engine, ConditionalEngine)
    before = engine.scores(photo(0), QUESTION)
    engine.looked(photo(0), QUESTION, Answer("dog"))
    assert not any(module._forward_hooks for module in engine.network.modules())
    assert all(weight.grad is None for weight in engine.network.parameters())
    assert torch.equal(engine.scores(photo(0), QUESTION), before)


def test_a_prompt_without_the_photos_tokens_is_caught_before_anything_is_answered(
    weights: dict[str, dict[str, Path]], engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines["blip-2"]
    assert isinstance(engine, ConditionalEngine)
    network = Blip2ForConditionalGeneration.from_pretrained(weights["blip-2"]["weights"])

    def without(view, text):
        given = engine.inputs(view, text)
        ids = given["input_ids"][:, engine.network.query_tokens.shape[1] :]
        return network(pixel_values=given["pixel_values"], input_ids=ids).logits[0, -1]

    with pytest.raises(CheckpointError, match=r"does not look at the photo.*<image>"):
        check_looks(without, "an old prompt")
    check_looks(engine.scores, "ours")
    with pytest.raises(PromptError, match="holds <image>"):
        engine.answer(photo(0), "what is <image> ?")
    monkeypatch.setattr(engine.network.config, "image_token_index", None)
    with pytest.raises(CheckpointError, match="would not look at the photo"):
        engine.inputs(photo(0), QUESTION)


def test_a_checkpoint_of_before_the_token_is_given_one_and_looks(tmp_path: Path) -> None:
    save_blip_2(tmp_path / "old", image_token_index=None)
    engine = load_engine("blip-2", weights={"weights": tmp_path / "old"})
    first, second = trial_photos()
    assert isinstance(engine, ConditionalEngine)
    assert not torch.allclose(engine.scores(first, QUESTION), engine.scores(second, QUESTION))


def test_a_network_that_ignores_photos_is_refused(tmp_path: Path) -> None:
    save_blip_2(tmp_path / "blind")
    network = Blip2ForConditionalGeneration.from_pretrained(tmp_path / "blind")
    with torch.no_grad():
        network.language_projection.weight.zero_()
    network.save_pretrained(tmp_path / "blind")
    with pytest.raises(CheckpointError, match="does not look at the photo"):
        load_engine("blip-2", weights={"weights": tmp_path / "blind"})


def test_what_is_missing_or_wrong_is_said_in_a_sentence(weights: dict[str, dict[str, Path]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no engine .gpt.*blip-vqa"):
        load_engine("gpt")
    with pytest.raises(CheckpointError, match=r"blip2-opt-2.7b, about 15 GB.*--download"):
        load_engine("blip-2")
    with pytest.raises(CheckpointError, match="no folder"):
        load_engine("blip-vqa", weights={"weights": tmp_path / "nothing"})
    with pytest.raises(CheckpointError, match="no network of instructblip"):
        load_engine("instructblip", weights=weights["blip-2"])
    with pytest.raises(CheckpointError, match="no T5"):
        load_engine("plug-and-play", weights=weights["plug-and-play"] | {"reader": weights["blip-vqa"]["weights"]})
    with pytest.raises(ConfigError, match="no part 'reader'"):
        load_engine("blip-vqa", weights={"reader": tmp_path})
    with pytest.raises(ConfigError, match="one network"):
        load_engine("mini-describe", weights={"reader": tmp_path})


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_and_an_endless_question_are_refused(engines: dict[str, Engine], name: str) -> None:
    for question, says in (("  ", "empty"), ("why " * 2500, "10,000|9,999"), ("a\0b", "control")):
        with pytest.raises(PromptError, match=says):
            engines[name].answer(photo(0), question)


def test_each_engine_says_what_it_is() -> None:
    assert [name for name, kind in ENGINES.items() if not kind.about] == []


def test_a_listing_gives_the_words_of_both_language_model_and_qformer() -> None:
    shards = [f"model-0000{place}-of-00002.safetensors" for place in (1, 2)]
    listing = ["README.md", "config.json", "model.safetensors.index.json", *shards, "pytorch_model.bin"]
    words = ["tokenizer.json", "tokenizer.model", "preprocessor_config.json", "qformer_tokenizer/tokenizer.json"]
    found = network_files([*listing, *words, "onnx/model.onnx"])
    assert sorted(found) == sorted(["config.json", "model.safetensors.index.json", *shards, *words])


@pytest.mark.parametrize("name", ["blip-2", "blip-2 t5", "instructblip"])
def test_an_engine_in_half_precision_answers_and_tells_where_it_looked(
    weights: dict[str, dict[str, Path]], name: str
) -> None:
    engine = load_engine(name.split(maxsplit=1)[0], weights=weights[name], place=placement("cpu", "bfloat16"))
    said = engine.answer(photo(1), QUESTION, speaking=Speaking(longest=3))
    assert float(engine.looked(photo(1), QUESTION, said).shares.sum()) == pytest.approx(1)
    assert 0 <= engine.matches(photo(1), ["a dog"])[0] <= 1


@pytest.mark.bundled
def test_the_bundled_describer_may_match_and_caption_for_a_reader(weights: dict[str, dict[str, Path]]) -> None:
    parts = {"matcher": "mini-describe", "captioner": "mini-describe", "reader": weights["plug-and-play"]["reader"]}
    engine = load_engine("plug-and-play", weights=parts)
    view = photo(1, (64, 48))
    said = engine.answer(view, "what colour is the balloon?", speaking=Speaking(longest=3))
    assert 1 <= len(said.read) <= 20
    assert not any(first in second for place, first in enumerate(said.read) for second in said.read[:place])
    assert engine.looked(view, "what colour is the balloon?", said).fit == "pad"
