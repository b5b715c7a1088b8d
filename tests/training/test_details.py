"""A detail adapter over a tiny model: its batches, what it learns, what is written and drawn with it."""

import tomllib
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.checkpoints import load_model, save_model
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.referenced import ReferencedPairs, reference_view
from blipdiff.data.shards import write_shard
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.detail_adapter import Seen, places_of
from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.config import DetailAdapterRecipe, load_detail_recipe, read_table
from blipdiff.training.details import DetailBatches, DetailObjective, initial_adapter
from blipdiff.training.full import dry_run, full_recipe
from blipdiff.training.stage2 import RowShares
from pipelines.controls.details import states_of
from pipelines.train.detail import export_detail, prepare_detail, train_detail
from tests.training.test_controlnet import frozen, frozen_folder  # noqa: F401
from tests.training.test_full import sample
from tests.training.test_workers import written

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture(scope="module")
def detail_recipe(tmp_path_factory) -> DetailAdapterRecipe:
    text = (files("blipdiff.training") / "recipes" / "mini-detail.toml").read_text()
    values = tomllib.loads(text)["detail"] | {
        "steps": 4,
        "batch": 8,
        "warmup_steps": 2,
        "drop_subject": 0.25,
        "unet": False,
    }
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


def test_what_is_added_is_the_same_by_plain_products_as_by_fused_attention(frozen):  # noqa: F811
    adapter = initial_adapter(frozen.unet, seed=1)
    layer = next(iter(adapter.layers.values()))
    torch.nn.init.normal_(layer.to_out.weight)
    generator = torch.Generator().manual_seed(0)
    sizes = adapter.sizes
    width = layer.sizes.width
    states = torch.randn(2, 16, width, generator=generator)
    reference = Seen(
        torch.randn(2, 4, width + sizes.latent_channels, generator=generator),
        places_of(2, 2),
        torch.tensor([[True, True, False, True], [False, True, True, False]]),
    )
    learned = layer(states, places_of(4, 4), reference)
    with torch.no_grad():
        drawn = layer(states, places_of(4, 4), reference)
    assert learned.requires_grad
    torch.testing.assert_close(learned.detach(), drawn, rtol=1e-5, atol=1e-5)


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
    assert model.detail(None) == model.detail_adapter.detail == detail_recipe.detail.detail == 0.7
    save_model(model, tmp_path / "again")
    assert load_model(tmp_path / "again").identity.parts == model.identity.parts
    layers = Image.new("RGBA", (32, 32), "red")
    subject = model.encode_subject(SubjectPhoto(layers, "thing"))
    seen = states_of(model, layers, subject)
    assert seen.keeps(1000) and seen.adapter is model.detail_adapter


def test_the_full_size_recipe_is_counted_and_trains_an_adapter_from_shards(blipdiff, model, tmp_path):
    shards = tmp_path / "shards"
    write_shard(shards / "pairs-00000.tar", [sample(row) for row in range(3)])
    table = read_table("full/detail")
    plan = dry_run(full_recipe(table, "full/detail"))
    assert plan.trained < 60e6 and plan.total < 0.9 * 24 * 2**30
    table |= {"start": {"blip_diffusion": str(model)}, "data": {"shards": str(shards), "picture": 16}}
    table["hardware"] = {"processes": 1, "loaders": 1}
    table["detail"] |= {"steps": 2, "batch": 3, "accumulate": 1, "warmup_steps": 1, "learning_rate": 1e-2}
    (tmp_path / "detail.toml").write_text(written(table))
    ended = blipdiff("train", tmp_path / "detail.toml", "--run", tmp_path / "run")
    assert ended.code == 0, ended.err
    made = load_model(tmp_path / "run" / "model", dtype=torch.float32)
    assert made.detail_adapter is not None
    assert any(bool(layer.to_out.weight.any()) for layer in made.detail_adapter.layers.values())
    same = load_model(model, dtype=torch.float32)
    assert all(torch.equal(one, same.unet.state_dict()[name]) for name, one in made.unet.state_dict().items())


def test_a_model_with_an_adapter_draws_with_details_and_without(blipdiff, model, tmp_path):
    with_adapter = load_model(model, dtype=torch.float32)
    adapter = initial_adapter(with_adapter.unet, seed=1)
    for layer in adapter.layers.values():
        torch.nn.init.eye_(layer.to_out.weight)
    save_model(replace(with_adapter, detail_adapter=adapter.eval()), tmp_path / "model")
    photo = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    photo.paste((200, 30, 30, 255), (16, 16, 48, 48))
    photo.save(tmp_path / "photo.png")
    asked = [
        "--subject",
        tmp_path / "photo.png",
        "--category",
        "dog",
        "--prompt",
        "x",
        "--steps",
        "2",
        "--size",
        "64",
        "--count",
        "1",
    ]
    found = []
    for source, detail in ((model, "0"), (tmp_path / "model", "0"), (tmp_path / "model", "1")):
        output = tmp_path / f"out{len(found)}"
        ended = blipdiff("generate", *asked, "--model", source, "--detail", detail, "--seed", "1", "--output", output)
        assert ended.code == 0, ended.err
        [picture] = output.glob("*.png")
        found.append(np.asarray(Image.open(picture).convert("RGB")))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])


def test_a_recipe_whose_model_would_read_more_than_all_is_refused(detail_recipe):
    with pytest.raises(ConfigError, match="'detail' must be from 0"):
        replace(detail_recipe.detail, detail=1.2)
