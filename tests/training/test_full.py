"""Full-size recipes: read and counted as they are, and run from BERT, CLIP and shards to a checkpoint at tiny sizes."""

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForPreTraining, CLIPConfig, CLIPModel

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.describer import load_describer
from blipdiff.data.shard_library import ShardLibrary, prompt_of
from blipdiff.data.shards import Sample, read_shard, write_shard
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.training.batches import stream
from blipdiff.training.config import read_table, section_of
from blipdiff.training.full import begin_representation, dry_run, full_recipe
from blipdiff.training.pretrained import begin_with_bert
from blipdiff.training.sections import RepresentationRecipe, SubjectRecipe
from blipdiff.training.stage2 import RowShares
from blipdiff.training.state import RunFolder
from blipdiff.training.vocabulary import train_category_tokenizer
from pipelines.train.full import train_full
from tests.support.command_line import Command
from tests.support.shard_servers import shard_server
from tests.training.test_workers import written

pytest_plugins = ["tests.support.command_fixtures"]


def recipe_table(name: str) -> dict[str, Any]:
    return read_table(f"full/{name}")


def sample(index: int) -> Sample:
    rng = np.random.default_rng(index)
    subject = np.zeros((32, 32, 4), np.uint8)
    subject[6:26, 8:24] = (*rng.integers(0, 256, 3), 255)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    return Sample(
        f"{index:06d}",
        rng.integers(0, 256, (40, 40, 3)).astype(np.uint8),
        subject,
        mask,
        ("dog", "cat")[index % 2],
        ("a dog on grass", "a photo of an animal"),
        f"{index}.jpg",
    )


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    for number in range(2):
        write_shard(folder / f"pairs-{number:05d}.tar", [sample(number * 3 + row) for row in range(3)])
    return folder


@pytest.fixture
def clip_and_bert(tmp_path: Path) -> tuple[Path, Path]:
    words = train_category_tokenizer(["a dog on grass", "a photo of a cat"], tmp_path / "bert", 200)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    torch.manual_seed(0)
    bert = BertForPreTraining(
        BertConfig(vocab_size=len(words) - 1, num_hidden_layers=2, max_position_embeddings=24, **sizes)
    )
    bert.save_pretrained(tmp_path / "bert")
    vision = sizes | {"hidden_size": 12, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8}
    text = sizes | {"num_hidden_layers": 1, "vocab_size": 20, "eos_token_id": 1}
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip", tmp_path / "bert"


@pytest.mark.parametrize(("stage", "trained"), [("stage1", 200e6), ("stage2", 1186e6)])
def test_the_published_recipes_are_read_and_counted_without_memory(stage: str, trained: float) -> None:
    plan = dry_run(full_recipe(recipe_table(stage), stage))
    assert plan.trained == pytest.approx(trained, rel=0.01)
    assert plan.moments == 8 * plan.trained
    assert plan.total < 0.9 * 40 * 2**30


def test_full_size_recipes_are_found_by_name(blipdiff: Command) -> None:
    ended = blipdiff("train", "full/stage2", "--dry-run")
    assert ended.code == 0, ended.err
    assert "fits into 40 GB" in ended.out


def test_shards_share_what_is_trained_and_checkpoints_keep_less() -> None:
    table = recipe_table("stage2")
    table["hardware"]["shard"] = True
    table["subject"]["checkpointing"] = False
    plan, whole = (dry_run(full_recipe(one, "x")) for one in (table, recipe_table("stage2")))
    assert plan.moments == pytest.approx(whole.moments / 16, rel=0.01)
    assert plan.activations > 1.5 * whole.activations


def test_stage_2_is_the_published_recipe() -> None:
    stage = full_recipe(recipe_table("stage2"), "stage2").subject
    assert stage is not None
    assert (stage.batch * stage.accumulate, stage.steps, stage.learning_rate) == (16, 500_000, 2e-6)
    assert stage.rate(5000) == stage.rate(499_999) == 2e-6
    rows = [RowShares.at(stage, index) for index in range(2000)]
    assert sum(one.words for one in rows) == 300


def test_a_recipe_needs_one_stage_and_known_keys() -> None:
    table = recipe_table("stage2")
    with pytest.raises(ConfigError, match="one of the sections"):
        full_recipe({name: value for name, value in table.items() if name != "subject"}, "x")
    with pytest.raises(ConfigError, match="colour"):
        full_recipe(table | {"colour": 1}, "x")
    with pytest.raises(ConfigError, match="picture must be a whole number"):
        full_recipe(table | {"data": {"shards": "x", "picture": "large"}}, "x")


def test_the_start_is_berts_and_clips_weights(clip_and_bert: tuple[Path, Path]) -> None:
    table = recipe_table("stage1")
    table["start"] = {"clip": str(clip_and_bert[0]), "bert": str(clip_and_bert[1])}
    recipe = full_recipe(table, "x")
    assert recipe.representation is not None
    network, words = begin_representation(recipe.representation, recipe.start, 0)
    clip = CLIPModel.from_pretrained(clip_and_bert[0]).vision_model.eval()
    photos = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = clip(photos, output_hidden_states=True).hidden_states[-2]  # the last block is left out
        found = network.visual_encoder.encoder(
            network.visual_encoder.pre_layernorm(network.visual_encoder.embeddings(photos))
        )
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        bert = BertForPreTraining.from_pretrained(clip_and_bert[1]).bert.eval()
        ids = torch.tensor([words("a dog").input_ids])
        mask = torch.ones_like(ids)
        # without its kinds of sentences, which the Q-Former has not
        bert.embeddings.token_type_embeddings.weight.zero_()
        rows = network.encoder(network.embeddings(ids, None), None, 0, mask.bool()[:, None, None, :])
        torch.testing.assert_close(rows, bert(ids, mask).last_hidden_state, rtol=1e-3, atol=1e-4)
    with pytest.raises(CheckpointError, match="does not fit"):
        begin_with_bert(network, clip_and_bert[0])


def test_from_nothing_of_ours_to_a_checkpoint_through_both_stages(
    blipdiff: Command, model: Path, clip_and_bert: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    hardware = {"processes": 1, "loaders": 1}
    short = {"steps": 2, "batch": 3, "accumulate": 1, "warmup_steps": 1}
    first = recipe_table("stage1") | {"hardware": hardware, "data": {"shards": str(shards)}}
    first["start"] = {"clip": str(clip_and_bert[0]), "bert": str(clip_and_bert[1])}
    first["representation"] |= short | {"shared_width": 8}
    (tmp_path / "one.toml").write_text(written(first))
    ended = blipdiff("train", tmp_path / "one.toml", "--run", tmp_path / "run1", "--tensorboard")
    assert ended.code == 0, ended.err
    describer = load_describer(tmp_path / "run1" / "model")
    assert set(describer.categories) == {"cat", "dog"}
    assert list((tmp_path / "run1" / "representation" / "tensorboard").iterdir())

    second = recipe_table("stage2") | {"hardware": hardware, "data": {"shards": str(shards), "picture": 16}}
    second["start"] = {"stable_diffusion": str(model), "representation": str(tmp_path / "run1" / "model")}
    second["subject"] |= short | {"min_snr": 5.0, "learning_rate": 1e-3}
    (tmp_path / "two.toml").write_text(written(second))
    ended = blipdiff("train", tmp_path / "two.toml", "--run", tmp_path / "run2")
    assert ended.code == 0, ended.err
    made = load_model(tmp_path / "run2" / "model", dtype="stored")
    trunk = describer.network.visual_encoder.state_dict()
    torch.testing.assert_close(made.subject_encoder.visual_encoder.state_dict(), trunk, rtol=1e-3, atol=1e-3)
    state = load_file(tmp_path / "run2" / "subject" / "state.safetensors")
    name = "unet.conv_in.weight"
    assert torch.equal(state[f"average.{name}"], made.unet.state_dict()[name.removeprefix("unet.")])
    assert not torch.equal(load_model(model, dtype="stored").unet.conv_in.weight, made.unet.conv_in.weight)
    assert not any("visual_encoder" in name for name in state)


def test_training_on_shards_by_their_addresses_goes_on_in_the_middle_of_an_epoch(
    clip_and_bert: tuple[Path, Path], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had not been stopped, to the last bit: every step is saved, and the run ends after three of five."""
    monkeypatch.setattr("pipelines.train.full.RunFolder", partial(RunFolder, save_every_seconds=-1.0))
    short = {"steps": 5, "batch": 2, "accumulate": 1, "warmup_steps": 1, "shared_width": 8, "bfloat16": False}

    def run(place: str, until: int) -> dict[str, torch.Tensor]:
        stopped = lambda data, first, stop, **more: stream(data, first, min(stop, until), **more)  # noqa: E731
        monkeypatch.setattr("pipelines.train.full.stream", stopped)
        list(train_full(full_recipe(table, "x"), tmp_path / place, tmp_path / place / "model"))
        return load_file(tmp_path / place / "representation" / "state.safetensors")

    with shard_server(shards) as server:
        data = {"shards": server.url("pairs-{00000..00001}.tar"), "window": 1}
        table = recipe_table("stage1") | {"hardware": {"processes": 1, "loaders": 1}, "data": data}
        table["start"] = {"clip": str(clip_and_bert[0]), "bert": str(clip_and_bert[1])}
        table["representation"] |= short
        whole, middle, end = run("whole", 5), run("parts", 3), run("parts", 5)
    assert whole.keys() == end.keys()
    assert all(torch.equal(whole[name], end[name]) for name in whole)
    assert not all(torch.equal(middle[name], end[name]) for name in whole)
    written_down = [path for path in (tmp_path / "parts").rglob("*") if path.is_file() and path.suffix != ".tar"]
    assert not any(b"secret" in path.read_bytes() for path in written_down)


def test_a_shard_is_read_back_and_its_pairs_depend_on_their_number_alone(shards: Path, tmp_path: Path) -> None:
    found = list(read_shard(shards / "pairs-00001.tar"))
    assert [one.key for one in found] == ["000003", "000004", "000005"]
    assert np.array_equal(found[0].subject, sample(3).subject)
    assert np.array_equal(found[0].mask, sample(3).mask)
    write_shard(tmp_path / "again.tar", [sample(3 + row) for row in range(3)])
    assert (tmp_path / "again.tar").read_bytes() == (shards / "pairs-00001.tar").read_bytes()
    library = ShardLibrary(shards, photo_side=16, picture_side=24)
    seen = [library.draw(index, 0) for index in range(12)]
    assert sorted(pair.subject for pair in seen[:6]) == sorted(pair.subject for pair in seen[6:]) == list(range(6))
    assert seen[0].photo.shape == (16, 16, 3)
    assert seen[0].target.shape == (24, 24, 3)
    again = ShardLibrary(shards, photo_side=16, picture_side=24).draw(7, 0)
    assert np.array_equal(again.photo, seen[7].photo)
    (shards / "broken.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ConfigError, match=r"broken\.tar is damaged"):
        ShardLibrary(shards, photo_side=16, picture_side=24)


def test_a_caption_becomes_what_follows_the_subject() -> None:
    assert prompt_of("a brown dog sitting on a bench", "dog") == "sitting on a bench"
    assert prompt_of("a quiet park", "dog") == ", a quiet park"
    assert prompt_of("", "dog") == ""


def test_min_snr_and_the_other_keys_have_defaults() -> None:
    table = {
        name: value for name, value in recipe_table("stage2")["subject"].items() if name not in ("min_snr", "beta2")
    }
    assert section_of(SubjectRecipe, table, "x").min_snr == 0
    with pytest.raises(ConfigError, match="accumulate"):
        section_of(SubjectRecipe, table | {"accumulate": 0}, "x")


TRICKS = {"made_up": 0.0, "repeated": 0.0, "category_tokens": 32, "timestep_exponent": 1.0, "min_snr": 0.0}
TRICKS |= {"text_tokens": 32, "named": 0.0, "matching_share": 1.0}


@pytest.mark.parametrize(("stage", "kind"), [("representation", RepresentationRecipe), ("subject", SubjectRecipe)])
def test_what_only_the_small_model_needs_is_off_by_default_and_told_in_the_full_recipes(stage, kind) -> None:
    own = {item.name: item.default for item in fields(kind) if item.name in TRICKS}
    assert len(own) >= 3 and own == {name: TRICKS[name] for name in own}
    told = recipe_table("stage1" if stage == "representation" else "stage2")[stage]
    assert {name: told.get(name) for name in own} == own
