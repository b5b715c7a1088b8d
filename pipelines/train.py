"""Train a small model from nothing: pictures, tokenizers, latents, the subject's stage, the decoder, the checkpoint.

Every part is kept in the run's folder and found there again, so a run that was stopped at any moment goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from transformers import BertTokenizer, CLIPTokenizer

from blipdiff.checkpoints.diffusers_layout import load_vae
from blipdiff.conditioning.prompt import build_prompt
from blipdiff.data.library import build_library
from blipdiff.data.pairs import PairLibrary
from blipdiff.images import PhotoSettings
from blipdiff.models.representation import Representation
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer
from blipdiff.outputs import written_folder
from blipdiff.training.autoencoder import DecoderObjective, linear_autoencoder, patch_encoder
from blipdiff.training.batches import DescribedBatches, PhotoBatches, SubjectBatches, TargetBatches, Wording, stream
from blipdiff.training.config import Recipe, RepresentationRecipe
from blipdiff.training.initial import initial_redrawing, initial_representation
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.memory import checkpoint_blocks
from blipdiff.training.noise import MINI_SCHEDULE, NoiseSchedule
from blipdiff.training.redrawing import RedrawingNetworks, RedrawingObjective
from blipdiff.training.stage1 import RepresentationObjective
from blipdiff.training.stage2 import RowShares, SubjectNetworks, SubjectObjective
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer
from blipdiff.training.warm_start import take_over_vocabulary, warm_start
from pipelines.train_describer import caption_words
from pipelines.train_export import fresh_networks, sample_sheet

SAMPLED_PAIRS = 4096  # of which the vocabulary and the principal components are taken


@dataclass(frozen=True, slots=True)
class RunParts:
    """What lies in a run's folder before anything is optimised."""

    recipe: Recipe
    folder: Path
    library: PairLibrary
    prompts: CLIPTokenizer
    categories: BertTokenizer
    vae: AutoencoderTiny
    tensorboard: bool = False
    save_every_seconds: float = 300.0

    @property
    def latent_side(self) -> int:
        """Latents a picture's side."""
        return self.recipe.model.picture // 8

    @property
    def photo(self) -> PhotoSettings:
        """How the vision trunk wants its photos."""
        return PhotoSettings(side=self.recipe.model.picture)

    def stage(self, name: str) -> RunFolder:
        """The folder of one stage's state and log."""
        return RunFolder(self.folder / name, self.save_every_seconds, self.tensorboard)


def prepare(
    recipe: Recipe,
    folder: Path,
    *,
    data: Path | None = None,
    start: Path | None = None,
    tensorboard: bool = False,
) -> RunParts:
    """Pictures, tokenizers and the linear encoder: made when absent, read when there.

    start: a checkpoint whose tokenizers and autoencoder are taken over
    """
    data = data or folder / "data"
    if start is not None:
        take_over_vocabulary(start, folder)
    if not (data / "scenes.json").is_file():
        build_library(folder / "packages", data, side=recipe.model.picture)
    library = PairLibrary(data, recipe.subject.spread)
    if not (folder / "vae" / "config.json").is_file():
        pairs = [library.draw(index, recipe.seed + 1) for index in range(SAMPLED_PAIRS)]
        texts = [build_prompt(pair.category, pair.prompt) for pair in pairs]
        names = sorted({library.records[i].category for i in library.members["train"]})
        train_prompt_tokenizer([*texts, *names], folder / "tokenizer", recipe.model.vocabulary)
        spoken = [] if recipe.representation is None else caption_words(library, recipe.seed)
        train_category_tokenizer([*names * 3, *spoken], folder / "qformer_tokenizer", recipe.model.vocabulary)
        pictures = torch.stack([torch.from_numpy(pair.target) for pair in pairs]).permute(0, 3, 1, 2).float() / 255
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            encoder = linear_autoencoder(recipe.model, pictures)
        with written_folder(folder / "vae") as place:  # last, and whole: it tells that everything is there
            encoder.save_pretrained(place)
    return RunParts(
        recipe,
        folder,
        library,
        load_prompt_tokenizer(folder / "tokenizer"),
        load_category_tokenizer(folder / "qformer_tokenizer"),
        load_vae(folder / "vae").float(),  # taken over from a checkpoint it is in half precision
        tensorboard,
    )


def train_representation(parts: RunParts, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """Stage 1 of the run, where the recipe asks for it; goes on from its last saved state."""
    recipe = parts.recipe.representation
    if recipe is None:
        return
    mean, std = torch.tensor(parts.photo.mean), torch.tensor(parts.photo.std)
    network = _representation(parts, recipe)
    objective = RepresentationObjective(
        network,
        mean,
        std,
        train_trunk=recipe.train_trunk,
        matching_share=recipe.matching_share,
        compiled=compiled,
    )
    folder = parts.stage("representation")
    first = resume_step(folder)
    batches = DescribedBatches(
        parts.library,
        parts.categories,
        recipe.batch,
        seed=parts.recipe.seed + 4,
        named=recipe.named,
        tokens=min(recipe.text_tokens, network.sizes.qformer.positions),
    )
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )


def train_redrawing(parts: RunParts, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """The first stage of the run: the subject encoder learns to carry a photo in its rows."""
    recipe, networks = parts.recipe.redrawing, fresh_networks(parts)
    objective = RedrawingObjective(
        _redrawing_networks(parts, networks),
        patch_encoder(parts.vae),
        torch.tensor(parts.photo.mean),
        torch.tensor(parts.photo.std),
        compiled=compiled,
    )
    folder = parts.stage("redrawing")
    first = resume_step(folder)
    if not first:
        _begin_represented(parts, networks.subject_encoder)
    batches = PhotoBatches(parts.library, parts.categories, recipe.batch, seed=parts.recipe.seed + 3)
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )


def train_subjects(parts: RunParts, *, start: Path | None = None, compiled: bool = True) -> Iterator[TrainingStep]:
    """Stage 2 of the run; goes on from its last saved state.

    start: a checkpoint to begin with instead of the redrawing stage and fresh weights
    """
    recipe = parts.recipe
    networks = fresh_networks(parts)
    networks.unet.to(memory_format=torch.channels_last)
    if recipe.subject.checkpointing:
        checkpoint_blocks(networks)
    mean, std = torch.tensor(parts.photo.mean), torch.tensor(parts.photo.std)
    objective = SubjectObjective(
        networks, patch_encoder(parts.vae), NoiseSchedule(MINI_SCHEDULE), recipe.subject, mean, std, compiled=compiled
    )
    folder = parts.stage("subject")
    first = resume_step(folder)
    if not first and start is not None:
        warm_start(networks, start)
    elif not first and resume_step(parts.stage("redrawing")):
        average_weights(parts.stage("redrawing"), {"subject_encoder": networks.subject_encoder})
    elif not first:
        _begin_represented(parts, networks.subject_encoder)
    batches = SubjectBatches(
        parts.library,
        parts.prompts,
        parts.categories,
        RowShares.of(recipe.subject),
        positions=recipe.model.positions,
        subject_slots=networks.subject_encoder.sizes.qformer.queries,
        seed=recipe.seed,
        wording=Wording.of(recipe.subject, networks.subject_encoder.sizes.qformer.positions),
    )
    steps = train(
        objective,
        stream(batches, first, recipe.subject.steps, accumulate=recipe.subject.accumulate),
        recipe.subject,
        folder,
        seed=recipe.seed,
        first_step=first,
    )
    every, sheets = recipe.subject.grid_every, first
    for step in steps:
        yield step
        if every and step.index + 1 - sheets >= every and resume_step(folder):
            sheets = step.index + 1
            sample_sheet(parts, parts.folder / "sheets" / f"{sheets:07d}.png")


def train_decoder(parts: RunParts) -> Iterator[TrainingStep]:
    """The decoder of the latents; goes on from its last saved state."""
    recipe = parts.recipe.autoencoder
    parts.vae.decoder.to(memory_format=torch.channels_last)
    folder = parts.stage("autoencoder")
    first = resume_step(folder)
    batches = TargetBatches(parts.library, recipe.batch, seed=parts.recipe.seed + 2)
    yield from train(
        DecoderObjective(parts.vae, recipe),
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )


def _redrawing_networks(parts: RunParts, networks: SubjectNetworks) -> RedrawingNetworks:
    encoder = networks.subject_encoder
    head = initial_redrawing(
        parts.recipe.model, rows=encoder.sizes.qformer.queries, latent_side=parts.latent_side, seed=parts.recipe.seed
    )
    return RedrawingNetworks(encoder, head)


def _representation(parts: RunParts, recipe: RepresentationRecipe) -> Representation:
    return initial_representation(
        parts.recipe.model,
        vocabulary=len(parts.categories),
        shared_width=recipe.shared_width,
        seed=parts.recipe.seed,
    )


def _begin_represented(parts: RunParts, encoder: SubjectEncoder) -> None:
    """What stage 1 of the run has learned into a fresh subject encoder, where there was one."""
    recipe, folder = parts.recipe.representation, parts.stage("representation")
    if recipe is None or not resume_step(folder):
        return
    network = _representation(parts, recipe)
    network.visual_encoder.requires_grad_(recipe.train_trunk)
    average_weights(folder, {"representation": network})
    network.give(encoder)
