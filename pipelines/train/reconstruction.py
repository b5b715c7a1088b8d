"""The stage in which the subject encoder of a small model learns to carry a photo in its rows."""

from collections.abc import Iterator

import torch

from blipdiff.training.autoencoder import patch_encoder
from blipdiff.training.batches import PhotoBatches, stream
from blipdiff.training.initial import initial_reconstruction
from blipdiff.training.loop import TrainingStep, resume_step, train
from blipdiff.training.reconstruction import ReconstructionNetworks, ReconstructionObjective
from blipdiff.training.stage2 import SubjectNetworks
from pipelines.train.parts import RunParts, fresh_networks
from pipelines.train.representation import begin_represented


def train_reconstruction(parts: RunParts, *, compiled: bool = True) -> Iterator[TrainingStep]:
    """The reconstruction stage of the run: the subject encoder learns to carry a photo in its rows."""
    recipe, networks = parts.recipe.reconstruction, fresh_networks(parts)
    objective = ReconstructionObjective(
        _reconstruction_networks(parts, networks),
        patch_encoder(parts.vae),
        torch.tensor(parts.photo.mean),
        torch.tensor(parts.photo.std),
        compiled=compiled,
    )
    folder = parts.stage("reconstruction")
    first = resume_step(folder)
    if not first:
        begin_represented(parts, networks.subject_encoder)
    batches = PhotoBatches(parts.library, parts.categories, recipe.batch, seed=parts.recipe.seed + 3)
    yield from train(
        objective,
        stream(batches, first, recipe.steps, accumulate=recipe.accumulate),
        recipe,
        folder,
        seed=parts.recipe.seed,
        first_step=first,
    )


def _reconstruction_networks(parts: RunParts, networks: SubjectNetworks) -> ReconstructionNetworks:
    encoder = networks.subject_encoder
    head = initial_reconstruction(
        parts.recipe.model, rows=encoder.sizes.qformer.queries, latent_side=parts.latent_side, seed=parts.recipe.seed
    )
    return ReconstructionNetworks(encoder, head)
