"""A detail adapter over a tiny model: its batches, what it learns, what is written and drawn with it."""

import tomllib
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.checkpoints import load_model, save_model
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.referenced import ReferencedPairs, reference_view
from blipdiff.errors import CheckpointError
from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.config import DetailAdapterRecipe, load_detail_recipe
from blipdiff.training.details import DetailBatches, DetailObjective, initial_adapter
from blipdiff.training.stage2 import RowShares
from pipelines.controls.details import states_of
from pipelines.train.detail import export_detail, prepare_detail, train_detail
from tests.training.test_controlnet import frozen, frozen_folder  # noqa: F401

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture(scope="module")
def detail_recipe(tmp_path_factory) -> DetailAdapterRecipe:
    text = (files("blipdiff.training") / "recipes" / "mini-detail.toml").read_text()
    values = tomllib.loads(text)["detail"] | {"steps": 4, "batch": 8, "warmup_steps": 2, "drop_subject": 0.25}
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    lines = "\n".join(f"{name} = {str(value).lower()}" for name, value in values.items())
    path.write_text(f'name = "tiny"\nseed = 3\n[detail]\n{lines}\n')
    return load_detail_recipe(path)


def batches_of(model, library_folder, recipe):
    return DetailBatches(
        ReferencedPairs(PairLibrary(library_folder, recipe.detail.spread)),
        model.prompt_tokenizer,
        model.category_tokenizer,
        RowShares.of(recipe.detail),
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=recipe.seed,
    )


def test_a_batch_repeats_and_shows_references_of_its_subjects(frozen, library_folder, detail_recipe):  # noqa: F811
    batches = batches_of(frozen, library_folder, detail_recipe)
    first, again = batches[1], batches[1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(first["reference"]) == len(first["photo"]) == len(first["reference_mask"]) == 6
    assert (first["reference_mask"] > 0).flatten(1).any(1).all()


def test_a_reference_stands_in_the_middle_and_fills_its_frame():
    cut_out = np.zeros((64, 64, 4), np.uint8)
    cut_out[4:20, 30:60] = (200, 10, 10, 255)
    picture, mask = reference_view(cut_out)
    rows, columns = np.flatnonzero(mask.max(1) > 127), np.flatnonzero(mask.max(0) > 127)
    assert abs((columns[0] + columns[-1]) / 2 - 31.5) <= 1 and abs((rows[0] + rows[-1]) / 2 - 31.5) <= 1
    assert 54 <= columns[-1] - columns[0] + 1 <= 58
    assert (picture[0, 0] == 255).all()


def test_only_the_adapter_learns_and_the_loss_falls(frozen, library_folder, detail_recipe):  # noqa: F811
    before = {name: one.clone() for name, one in frozen.unet.state_dict().items()}
    adapter = initial_adapter(frozen.unet, seed=1)
    objective = DetailObjective(frozen, adapter, patch_encoder(frozen.vae), detail_recipe.detail)
    optimizer = torch.optim.Adam(objective.trainable(), lr=1e-2)
    batch, losses = batches_of(frozen, library_folder, detail_recipe)[0], []
    for _ in range(12):
        loss, _ = objective.loss(batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(torch.equal(one, before[name]) for name, one in frozen.unet.state_dict().items())


def test_a_run_goes_on_and_writes_a_model_that_reads_references(
    frozen,  # noqa: F811
    frozen_folder,  # noqa: F811
    library_folder,
    detail_recipe,
    tmp_path,
):
    run = prepare_detail(detail_recipe, tmp_path / "run", source=frozen_folder)
    with pytest.raises(CheckpointError, match="train first"):
        export_detail(run, tmp_path / "early")
    assert [step.count for step in train_detail(run, library_folder)] == [4]
    assert list(train_detail(run, library_folder)) == []
    export_detail(run, tmp_path / "model")
    model = load_model(tmp_path / "model", dtype=torch.float32)
    assert model.detail_adapter is not None and "detail_adapter" in model.identity.parts
    save_model(model, tmp_path / "again")
    assert load_model(tmp_path / "again").identity.parts == model.identity.parts
    layers = Image.new("RGBA", (32, 32), "red")
    subject = model.encode_subject(SubjectPhoto(layers, "thing"))
    seen = states_of(model, layers, subject)
    assert seen.keeps(1000) and seen.adapter is model.detail_adapter
