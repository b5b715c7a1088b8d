"""Words of textual inversion: in every file's layout, in prompts and negatives, in layouts and masks, as diffusers."""

from pathlib import Path

import pytest
import torch

from blipdiff.attention.alignment import align, word_matrix
from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.additions import Additions, added
from blipdiff.checkpoints.embeddings import Embedding, with_embeddings
from blipdiff.conditioning.prompt import amplify
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import same_pictures, sd_pipeline, vectors, write_embedding
from tests.support.tiny_models import tiny_model

LAYOUTS = ["toy.pt", "toy.safetensors", "learned_embeds.bin", "learned_embeds.safetensors"]


@pytest.fixture(scope="module")
def plain() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture
def model(plain: BlipDiffusion, tmp_path: Path) -> BlipDiffusion:
    path = write_embedding(tmp_path / "toy.pt", vectors())
    return with_embeddings(plain, [Embedding(str(path), "<cat-toy>")])


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("count", [1, 3])
def test_every_layout_gives_the_same_words(plain: BlipDiffusion, tmp_path: Path, name: str, count: int) -> None:
    path = write_embedding(tmp_path / name, vectors(count=count))
    model = with_embeddings(plain, [Embedding.of(f"{path}=<cat-toy>")])
    assert isinstance(model.prompt_tokenizer, WordsTokenizer)
    assert torch.equal(model.prompt_tokenizer.vectors["<cat-toy>"], vectors(count=count))
    layout = model.encode_prompts(["a <cat-toy> on a beach"]).layouts[0]
    assert layout.words() == ("a", "<cat-toy>", "on", "a", "beach")
    assert len(layout.slots("<cat-toy>")) == count


@pytest.mark.parametrize(("name", "word"), [("My toy.pt", "my-toy"), ("learned_embeds.bin", "<cat-toy>")])
def test_its_own_word_is_the_file_s_name_or_what_diffusers_wrote(
    plain: BlipDiffusion, tmp_path: Path, name: str, word: str
) -> None:
    model = with_embeddings(plain, [Embedding.of(write_embedding(tmp_path / name, vectors()))])
    assert list(model.prompt_tokenizer.vectors) == [word]


def test_without_its_word_nothing_changes(plain: BlipDiffusion, model: BlipDiffusion) -> None:
    for text in ("a dog on a beach", "", "a cat toy", "x" * 200):
        assert torch.equal(plain.encode_prompts([text]).embeddings, model.encode_prompts([text]).embeddings)
        assert plain.encode_prompts([text]).layouts == model.encode_prompts([text]).layouts


def test_it_is_known_as_a_whole_word_in_any_case(plain: BlipDiffusion, tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "EasyNegative.safetensors", vectors(count=2))
    model = with_embeddings(plain, [Embedding.of(path)])
    slots = model.encode_prompts(["EASYNEGATIVE, noteasynegative"]).layouts[0].slots("easynegative")
    assert slots == (1, 2)
    assert model.encode_prompts(["easynegative"]).layouts[0].words() == ("easynegative",)


def test_its_rows_reach_the_text_encoder(model: BlipDiffusion) -> None:
    toy, dog = model.encode_prompts(["a <cat-toy>", "a dog"]).embeddings
    assert not torch.allclose(toy[2], dog[2])
    assert torch.equal(toy[:2], dog[:2])


@pytest.mark.parametrize("count", [1, 3])
def test_diffusers_own_pipeline_draws_the_same_with_it(plain: BlipDiffusion, tmp_path: Path, count: int) -> None:
    good, bad = (
        write_embedding(tmp_path / name, scale * vectors(count=count))
        for name, scale in (("good.safetensors", 1.0), ("bad.safetensors", -0.7))
    )
    theirs = sd_pipeline(plain)
    theirs.load_textual_inversion(str(good), token="<good>")
    theirs.load_textual_inversion(str(bad), token="<bad>")
    ours = with_embeddings(plain, [Embedding(str(good), "<good>"), Embedding(str(bad), "<bad>")])
    assert same_pictures(ours, theirs, "a <good> dog on a beach", "<bad> teapot") < 1e-5
    assert same_pictures(plain, theirs, "a <good> dog on a beach", "<bad> teapot") > 1e-3


def test_repeating_and_cutting_count_all_its_vectors(model: BlipDiffusion) -> None:
    tokenizer = model.prompt_tokenizer
    assert amplify("a <cat-toy>", tokenizer, 2 + 4 + 5, "fit").copies == 2
    cut = amplify("a <cat-toy> dog", tokenizer, 2 + 4, "fit")
    assert (cut.text, cut.cut_words) == ("a <cat-toy>", ("dog",))


def test_prompts_with_it_are_aligned_for_edits(model: BlipDiffusion) -> None:
    one, other = model.encode_prompts(["a <cat-toy> on a beach", "a <cat-toy> on a dog"]).layouts
    assert align(one, other).sources[:7] == (0, 1, 2, 3, 4, 5, 6)
    assert word_matrix(one, other)[2:5, 2:5].diagonal().tolist() == [1, 1, 1]


def test_the_identity_tells_it_and_the_networks_stay(plain: BlipDiffusion, model: BlipDiffusion) -> None:
    assert set(model.identity.parts) - set(plain.identity.parts) == {"embedding <cat-toy>"}
    assert model.text_encoder is plain.text_encoder
    assert len(model.prompt_tokenizer) == len(plain.prompt_tokenizer)


def test_it_comes_with_a_loaded_model(plain: BlipDiffusion, tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "toy.pt", vectors())
    found = added(tiny_model(), Additions.of(embeddings=[f"{path}=<cat-toy>"]), dtype=torch.bfloat16)
    assert found.encode_prompts(["a <cat-toy>"]).embeddings.dtype == torch.bfloat16


@pytest.mark.parametrize("word", ["dog", "two words", " "])
def test_a_word_is_new_and_one(plain: BlipDiffusion, tmp_path: Path, word: str) -> None:
    path = write_embedding(tmp_path / "toy.pt", vectors())
    with pytest.raises(ConfigError, match=r"is the model's own already|is no word"):
        with_embeddings(plain, [Embedding(str(path), word)])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (torch.zeros(2, 1024), "an embedding for Stable Diffusion 2; an embedding for Stable Diffusion 1.5"),
        (torch.zeros(2, 12), "12 wide, this model's words are 16 wide"),
        (torch.zeros(40, 16), "has 40 vectors; a prompt has room for 21"),
        (torch.full((2, 16), float("nan")), "not-a-number"),
    ],
)
def test_others_are_refused(plain: BlipDiffusion, tmp_path: Path, rows: torch.Tensor, said: str) -> None:
    path = write_embedding(tmp_path / "toy.safetensors", rows)
    with pytest.raises(CheckpointError, match=said):
        with_embeddings(plain, [Embedding(str(path))])


def test_saving_says_that_it_is_left_out(model: BlipDiffusion, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="give those of <cat-toy> when it is loaded"):
        save_model(model, tmp_path / "saved")
    assert len(load_model(tmp_path / "saved").prompt_tokenizer) == len(model.prompt_tokenizer)
