"""Going on from a checkpoint, with networks as they were or with a deeper U-Net."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blipdiff.checkpoints import load_model
from blipdiff.errors import CheckpointError
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.training.config import Recipe
from blipdiff.training.initial import initial_networks
from blipdiff.training.sections import ModelRecipe
from blipdiff.training.stage2 import SubjectNetworks
from blipdiff.training.warm_start import take_over_vocabulary, warm_start
from pipelines.train.export import export
from pipelines.train.parts import prepare
from pipelines.train.subjects import train_subjects
from tests.training.conftest import SIDE


@pytest.fixture(scope="module")
def started(recipe: Recipe, library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a short run without a reconstruction stage."""
    folder = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.train.parts.SAMPLED_PAIRS", 48)
        parts = prepare(recipe, folder / "run", data=library_folder)
        list(train_subjects(parts, compiled=False))
        export(parts, folder / "model", dtype=torch.float32)
    return folder / "model"


def networks(model: ModelRecipe, checkpoint: Path) -> SubjectNetworks:
    return initial_networks(
        model,
        prompt_vocabulary=len(load_prompt_tokenizer(checkpoint / "tokenizer")),
        category_vocabulary=len(load_category_tokenizer(checkpoint / "qformer_tokenizer")),
        latent_side=SIDE // 8,
        seed=11,
    )


def test_networks_of_the_same_sizes_take_over_everything(recipe: Recipe, started: Path) -> None:
    new = networks(recipe.model, started)
    assert warm_start(new, started) == ()
    old = load_model(started, dtype="stored")
    for mine, theirs in ((new.unet, old.unet), (new.text_encoder, old.text_encoder)):
        kept = theirs.state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in mine.state_dict().items())


def test_a_deeper_unet_is_matched_from_its_finest_level(recipe: Recipe, started: Path) -> None:
    deeper = replace(recipe.model, unet_widths=(32, 32, 32), unet_heads=(2, 2, 2))
    new = networks(deeper, started)
    fresh = warm_start(new, started)
    assert {".".join(name.split(".")[1:3]) for name in fresh} == {"down_blocks.1", "down_blocks.2", "up_blocks.0"}
    assert all("downsamplers" in name for name in fresh if "down_blocks.1" in name)
    old = load_model(started, dtype="stored").unet.state_dict()
    mine = new.unet.state_dict()
    assert torch.equal(mine["up_blocks.2.resnets.0.conv1.weight"], old["up_blocks.1.resnets.0.conv1.weight"])
    out = new.unet(torch.zeros(1, 8, 8, 8), 5, torch.zeros(1, 3, 32), return_dict=False)[0]
    assert out.shape == (1, 8, 8, 8)


def test_other_sizes_are_refused(recipe: Recipe, started: Path) -> None:
    with pytest.raises(CheckpointError, match="subject encoder"):
        warm_start(networks(replace(recipe.model, width=64), started), started)


def test_a_run_takes_over_vocabulary_and_weights(
    recipe: Recipe, started: Path, library_folder: Path, tmp_path: Path
) -> None:
    parts = prepare(recipe, tmp_path / "run", data=library_folder, start=started)
    assert parts.prompts.get_vocab() == load_prompt_tokenizer(started / "tokenizer").get_vocab()
    steps = list(train_subjects(parts, start=started, compiled=False))
    assert steps[-1].index + 1 == recipe.subject.steps
    assert list(train_subjects(parts, start=started, compiled=False)) == []


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        take_over_vocabulary(tmp_path, tmp_path / "run")
