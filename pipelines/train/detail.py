"""Train a detail adapter over a small trained model, and write the model with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from blipdiff.checkpoints import load_model, save_model
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.referenced import ReferencedPairs
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.latents import size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.detail_adapter import DetailAdapter
from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.batches import Wording, stream
from blipdiff.training.config import DetailAdapterRecipe
from blipdiff.training.details import DetailBatches, DetailObjective, initial_adapter
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.stage2 import RowShares


@dataclass(frozen=True, slots=True)
class DetailRun:
    """What a run is made of: the recipe, the model, and the adapter that learns."""

    recipe: DetailAdapterRecipe
    folder: RunFolder
    model: BlipDiffusion
    adapter: DetailAdapter


def prepare_detail(recipe: DetailAdapterRecipe, folder: Path, *, source: str | Path = "mini") -> DetailRun:
    """The model that shall read references, and an adapter for it: the model's own, or a fresh one.

    Raises: CheckpointError for a model that cannot be read, ConfigError for one whose latents are no linear map.
    """
    model = load_model(source, dtype=torch.float32)
    if not isinstance(model.vae, AutoencoderTiny):
        raise ConfigError(f"{source} is no small model of this project: its VAE is a {type(model.vae).__name__}.")
    adapter = model.detail_adapter or initial_adapter(model.unet, seed=recipe.seed)
    return DetailRun(recipe, RunFolder(folder), model, adapter.train().requires_grad_(True))


def train_detail(run: DetailRun, data: Path) -> Iterator[TrainingStep]:
    """Trains the adapter on the pairs of a prepared library; goes on from its last saved state.

    Raises: ConfigError where `data` holds no library of the model's size.
    """
    recipe, model = run.recipe.detail, run.model
    library = PairLibrary(data, recipe.spread, recipe.styled)
    own = int(model.unet.config.sample_size) * size_factor(model.vae)
    if library.side != own:
        raise ConfigError(f"{data} has pictures of {library.side} pixels, the model makes {own}.")
    batches = DetailBatches(
        ReferencedPairs(library),
        model.prompt_tokenizer,
        model.category_tokenizer,
        RowShares.of(recipe),
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=run.recipe.seed,
        wording=Wording.of(recipe, model.subject_encoder.sizes.qformer.positions),
    )
    first = resume_step(run.folder)
    yield from train(
        DetailObjective(model, run.adapter, patch_encoder(model.vae), recipe),
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        run.folder,
        seed=run.recipe.seed,
        first_step=first,
    )


def export_detail(run: DetailRun, target: Path, *, dtype: torch.dtype = torch.float16) -> BlipDiffusion:
    """The model with the averaged weights of the run's last state, as a folder.

    Raises: CheckpointError when nothing has been trained yet.
    """
    if not resume_step(run.folder):
        raise CheckpointError(f"There is no trained state in {run.folder.path}; train first.")
    trained: dict[str, torch.nn.Module] = {"adapter": run.adapter}
    if run.recipe.detail.unet:
        trained["unet"] = run.model.unet
    average_weights(run.folder, trained)
    run.adapter.detail = run.recipe.detail.detail
    model = replace(run.model, detail_adapter=run.adapter.eval(), name=run.recipe.name).moved(dtype=dtype)
    save_model(model, target)
    return model
