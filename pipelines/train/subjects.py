"""Stage 2 of a small model: the U-Net and the text encoder learn to draw the subject."""

from collections.abc import Iterator
from pathlib import Path

import torch

from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.batches import SubjectBatches, Wording, stream
from blipdiff.training.loop import TrainingStep, average_weights, resume_step, train
from blipdiff.training.memory import checkpoint_blocks
from blipdiff.training.noise import MINI_SCHEDULE, NoiseSchedule
from blipdiff.training.stage2 import RowShares, SubjectObjective
from blipdiff.training.warm_start import warm_start
from pipelines.train.export import sample_sheet
from pipelines.train.parts import RunParts, fresh_networks
from pipelines.train.representation import begin_represented


def train_subjects(parts: RunParts, *, start: Path | None = None, compiled: bool = True) -> Iterator[TrainingStep]:
    """Stage 2 of the run; goes on from its last saved state.

    start: a checkpoint to begin with instead of the reconstruction stage and fresh weights
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
    elif not first and resume_step(parts.stage("reconstruction")):
        average_weights(parts.stage("reconstruction"), {"subject_encoder": networks.subject_encoder})
    elif not first:
        begin_represented(parts, networks.subject_encoder)
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
