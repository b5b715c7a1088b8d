"""A ControlNet over a frozen tiny model: its maps and batches, what it learns, what is written."""

import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.controls import load_control
from blipdiff.control.net_names import BUNDLED_CONTROLS, control_for_map, map_of_control
from blipdiff.data.pairs import PairLibrary
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import fingerprint
from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.config import ControlNetRecipe, Recipe, control_recipe_from, load_control_recipe
from blipdiff.training.controlnet import MAPS, ControlBatches, ControlObjective, initial_controlnet
from blipdiff.training.noise import MINI_SCHEDULE
from blipdiff.training.stage2 import RowShares
from pipelines.train.control import export_control, prepare_control, train_control
from pipelines.train.parts import fresh_networks, prepare

pytest_plugins = ["tests.support.command_fixtures"]


def control_table() -> dict:
    table = tomllib.loads((files("blipdiff.training") / "recipes" / "mini-canny.toml").read_text())
    table["control"] |= {"steps": 4, "batch": 8, "warmup_steps": 2, "embedding_channels": [4, 4, 8, 8]}
    return table


@pytest.fixture(scope="module")
def control_recipe() -> ControlNetRecipe:
    return control_recipe_from(control_table(), "tiny")


@pytest.fixture(scope="module")
def frozen(recipe: Recipe, library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> BlipDiffusion:
    """An untrained model of the tiny recipe's sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.train.parts.SAMPLED_PAIRS", 48)
        parts = prepare(recipe, tmp_path_factory.mktemp("frozen"), data=library_folder)
    networks = fresh_networks(parts)
    return BlipDiffusion(
        subject_encoder=networks.subject_encoder,
        text_encoder=networks.text_encoder,
        prompt_tokenizer=parts.prompts,
        category_tokenizer=parts.categories,
        unet=networks.unet,
        vae=parts.vae,
        scheduler_config={"_class_name": "DDIMScheduler", **MINI_SCHEDULE},
        photo=parts.photo,
        subject_fingerprint=fingerprint(networks.subject_encoder.state_dict()),
    )


@pytest.fixture(scope="module")
def frozen_folder(frozen: BlipDiffusion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(frozen, folder)
    return folder


def batches(library: PairLibrary, model: BlipDiffusion, recipe: ControlNetRecipe) -> ControlBatches:
    return ControlBatches(
        library,
        model.prompt_tokenizer,
        model.category_tokenizer,
        RowShares.of(recipe.control),
        map_name=recipe.map,
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=recipe.seed,
    )


@pytest.mark.parametrize("name", ["mini-canny", "mini-depth", "mini-canny-shapes", "mini-depth-shapes"])
def test_the_bundled_recipes_are_whole(name):
    recipe = load_control_recipe(name)
    assert (recipe.name, recipe.map in MAPS) == (name, True)


@pytest.mark.parametrize("name", BUNDLED_CONTROLS)
def test_a_bundled_net_reads_the_map_that_it_was_trained_on(name: str) -> None:
    drawn = load_control_recipe(name).map
    assert (map_of_control(name), control_for_map(drawn)) == (drawn, name)


def test_a_map_without_a_bundled_net_has_none() -> None:
    assert control_for_map("soft-edge") is None


def test_an_unknown_key_is_refused():
    table = control_table()
    table["control"]["learning_rat"] = 1e-3
    with pytest.raises(ConfigError, match="learning_rat"):
        control_recipe_from(table, "mine")
    with pytest.raises(ConfigError, match="surprise"):
        control_recipe_from(control_table() | {"surprise": 1}, "mine")


def test_edges_are_drawn_and_nearer_is_brighter(library):
    pairs = [library.draw(index, 0) for index in range(8)]
    assert any(MAPS["canny"](pair, np.random.default_rng(0)).any() for pair in pairs)
    for pair in pairs:
        drawn = MAPS["relief"](pair, np.random.default_rng(0))
        assert drawn.shape == pair.mask.shape and drawn.dtype == np.uint8
        assert drawn[pair.mask > 250].mean() > drawn[pair.mask == 0].mean() + 50


def test_a_batch_is_the_same_again_and_has_a_map_for_each_row(library, frozen, control_recipe):
    one, other = (batches(library, frozen, control_recipe)[2] for _ in range(2))
    assert one["map"].shape == one["target"].shape and one["map"].dtype == torch.uint8
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_unknown_map_is_refused(library, frozen, control_recipe):
    table = control_table() | {"map": "x-ray"}
    with pytest.raises(ConfigError, match="x-ray"):
        batches(library, frozen, control_recipe_from(table, "mine"))


def test_a_new_net_is_silent_but_sees_its_map_and_leaves_the_model_alone(library, frozen, control_recipe):
    net = initial_controlnet(frozen.unet, control_recipe.control.embedding_channels, seed=0)
    objective = ControlObjective(frozen, net, patch_encoder(frozen.vae), control_recipe.control)
    batch = batches(library, frozen, control_recipe)[0]
    dark = {**batch, "map": torch.zeros_like(batch["map"])}
    losses = [objective.loss(one, torch.Generator().manual_seed(0))[0] for one in (batch, dark)]
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.controlnet_mid_block.parameters())
    assert all(p.grad is None and not p.requires_grad for p in frozen.unet.parameters())


def test_training_stops_goes_on_and_is_written_as_a_controlnet(control_recipe, frozen_folder, library_folder, tmp_path):
    run = prepare_control(control_recipe, tmp_path / "run", source=frozen_folder)
    with pytest.raises(CheckpointError, match="train first"):
        export_control(run, tmp_path / "net")
    steps = list(train_control(run, library_folder, compiled=False))
    assert steps[-1].index == 3
    again = prepare_control(control_recipe, tmp_path / "run", source=frozen_folder)
    assert list(train_control(again, library_folder, compiled=False)) == []  # it was done
    export_control(again, tmp_path / "net")
    net = load_control(tmp_path / "net", dtype=torch.float32)
    assert any(layer.weight.abs().sum() > 0 for layer in net.controlnet_down_blocks)
    assert net.config.cross_attention_dim == run.model.unet.config.cross_attention_dim


def test_an_embedding_of_another_depth_is_refused(frozen_folder, tmp_path):
    table = control_table()
    table["control"]["embedding_channels"] = [4, 8]
    with pytest.raises(ConfigError, match="halve a map 1 times"):
        prepare_control(control_recipe_from(table, "mine"), tmp_path, source=frozen_folder)


def test_the_command_trains_and_tells_where(blipdiff, frozen_folder, library_folder, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(_toml(control_table()))
    ended = blipdiff(
        "train-control", recipe, "--data", library_folder, "--model", frozen_folder, "--run", tmp_path / "run",
        "--no-compile",
    )  # fmt: skip
    assert (ended.code, ended.out.strip()) == (0, str(tmp_path / "run" / "net"))
    assert (tmp_path / "run" / "net" / "config.json").is_file()
    assert blipdiff("train-control", "no-such", "--data", library_folder).code == 2


def _toml(table: dict) -> str:
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
             for name, value in table.items() if name != "control"]  # fmt: skip
    return "\n".join([*lines, "[control]", *(f"{name} = {value}" for name, value in table["control"].items())])


def test_reshaped_pairs_and_rough_maps_reach_the_batches(library, frozen, control_recipe):
    def drawn(**changes):
        plain = batches(library, frozen, control_recipe)
        return ControlBatches(
            library,
            frozen.prompt_tokenizer,
            frozen.category_tokenizer,
            RowShares.of(control_recipe.control),
            map_name=control_recipe.map,
            positions=frozen.positions,
            subject_slots=frozen.subject_slots,
            seed=control_recipe.seed,
            **changes,
        )[2] | {"plain": plain[2]}

    for changes in ({"reshaped": 1.0}, {"rough": 1.0}):
        batch = drawn(**changes)
        assert not torch.equal(batch["map"], batch["plain"]["map"])
        assert torch.equal(batch["target"], batch["plain"]["target"]) == ("rough" in changes)


def test_training_goes_on_from_a_net_of_its_sizes_and_from_no_other(
    control_recipe, frozen_folder, library_folder, tmp_path
):
    first = prepare_control(control_recipe, tmp_path / "one", source=frozen_folder)
    list(train_control(first, library_folder, compiled=False))
    export_control(first, tmp_path / "net")
    again = prepare_control(control_recipe, tmp_path / "two", source=frozen_folder, start=tmp_path / "net")
    trained = load_control(tmp_path / "net", dtype=torch.float32).state_dict()
    assert all(torch.equal(weight, trained[name]) for name, weight in again.net.state_dict().items())
    with pytest.raises(ConfigError, match="no ControlNet of this model's"):
        prepare_control(control_recipe, tmp_path / "three", source=frozen_folder, start="mini-canny")
