"""Train a ControlNet over a small trained model, and write it as a folder that loads by its path or name."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.controls import load_control, save_control
from blipdiff.data.pairs import PairLibrary
from blipdiff.diffusers_types import ControlNet
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.latents import size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.batches import Wording, stream
from blipdiff.training.config import ControlNetRecipe
from blipdiff.training.controlnet import ControlBatches, ControlObjective, initial_controlnet
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.stage2 import RowShares


@dataclass(frozen=True, slots=True)
class ControlRun:
    """What a run is made of: the recipe, the frozen model, and the net that learns."""

    recipe: ControlNetRecipe
    folder: RunFolder
    model: BlipDiffusion
    net: ControlNet


def prepare_control(
    recipe: ControlNetRecipe, folder: Path, *, source: str | Path = "mini", start: str | Path | None = None
) -> ControlRun:
    """The model that the net shall steer, and the net: with fresh weights, or with those of the net `start`.

    Raises: CheckpointError for a model or net that cannot be read, ConfigError for a model whose latents are no linear
    map, for a net of other sizes, or one whose embedding does not bring pictures to the latents' size.
    """
    model = load_model(source, dtype=torch.float32)
    if not isinstance(model.vae, AutoencoderTiny):
        raise ConfigError(f"{source} is no small model of this project: its VAE is a {type(model.vae).__name__}.")
    factor, steps = size_factor(model.vae), len(recipe.control.embedding_channels) - 1
    if 2**steps != factor:
        raise ConfigError(
            f"embedding_channels has {steps + 1} numbers, which halve a map {steps} times; "
            f"this model's latents are {factor} times smaller than its pictures."
        )
    net = initial_controlnet(model.unet, recipe.control.embedding_channels, seed=recipe.seed)
    if start is not None:
        _take_weights(net, start)
    return ControlRun(recipe, RunFolder(folder), model, net)


def _take_weights(net: ControlNet, start: str | Path) -> None:
    other = load_control(start, dtype=torch.float32)
    shapes = [{name: tuple(weight.shape) for name, weight in one.state_dict().items()} for one in (net, other)]
    if shapes[0] != shapes[1]:
        raise ConfigError(f"{start} is no ControlNet of this model's and recipe's sizes; begin with fresh weights.")
    net.load_state_dict(other.state_dict())


def train_control(run: ControlRun, data: Path, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """Trains the net on the pairs of a prepared library; goes on from its last saved state.

    Raises: ConfigError where `data` holds no library of the model's size.
    """
    recipe, model = run.recipe.control, run.model
    library = PairLibrary(data, recipe.spread)
    own = int(model.unet.config.sample_size) * size_factor(model.vae)
    if library.side != own:
        raise ConfigError(f"{data} has pictures of {library.side} pixels, the model makes {own}.")
    batches = ControlBatches(
        library,
        model.prompt_tokenizer,
        model.category_tokenizer,
        RowShares.of(recipe),
        map_name=run.recipe.map,
        positions=model.positions,
        subject_slots=model.subject_slots,
        seed=run.recipe.seed,
        wording=Wording.of(recipe, model.subject_encoder.sizes.qformer.positions),
        reshaped=recipe.reshaped,
        rough=recipe.rough,
    )
    objective = ControlObjective(model, run.net, patch_encoder(model.vae), recipe, compiled=compiled)
    first = resume_step(run.folder)
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        run.folder,
        seed=run.recipe.seed,
        first_step=first,
    )


def export_control(run: ControlRun, target: Path, *, dtype: torch.dtype = torch.float16) -> ControlNet:
    """The averaged weights of the run's last state as a folder.

    Raises: CheckpointError when nothing has been trained yet.
    """
    if not resume_step(run.folder):
        raise CheckpointError(f"There is no trained state in {run.folder.path}; train first.")
    average_weights(run.folder, {"controlnet": run.net})
    net: ControlNet = run.net.to(dtype).eval()
    save_control(net, target)
    return net
