"""What a run of the small model has learned: as a model, as a checkpoint, as a sheet of samples."""

import copy
from pathlib import Path

import torch

from blipdiff.checkpoints import save_model
from blipdiff.data.pairs import Split
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import fingerprint
from blipdiff.training.loop import RunFolder, average_weights, resume_step
from blipdiff.training.noise import MINI_SCHEDULE
from pipelines.evaluate.subjects import subject_grid, unseen_subjects
from pipelines.studio import Studio
from pipelines.train.parts import RunParts, fresh_networks

SHEET_SUBJECTS, SHEET_STEPS = 4, 15
SHEET_PROMPTS = ("on a blue background", "on a grass field", "in the snow")


def check_trained(folder: Path) -> None:
    """Passes when a run's folder holds what `export` needs; asked before anything is prepared for it.

    Raises: CheckpointError when the subject's stage has not been saved yet.
    """
    if not resume_step(RunFolder(folder / "subject")):
        raise CheckpointError(f"There is no trained state in {folder}; train first.")


def export(parts: RunParts, target: Path, *, name: str = "mini", dtype: torch.dtype = torch.float16) -> BlipDiffusion:
    """The averaged weights of the run's last states as a checkpoint in the hub layout.

    Raises: CheckpointError when the subject's stage has not been saved yet.
    """
    check_trained(parts.folder)
    model = assembled(parts, name, dtype)
    save_model(model, target)
    return model


def sample_sheet(parts: RunParts, path: Path) -> Path:
    """Pictures of unseen subjects by the averaged weights of the last save; the run's state is not touched.

    Raises: OutputError where it cannot be written.
    """
    studio = Studio(assembled(parts, "sheet", torch.float32))
    split: Split = "held_out" if len(parts.library.members["held_out"]) > SHEET_SUBJECTS else "train"
    subjects = unseen_subjects(parts.library, SHEET_SUBJECTS, split=split, seed=parts.recipe.seed)
    return subject_grid(studio, subjects, SHEET_PROMPTS, path, steps=SHEET_STEPS, side=parts.recipe.model.picture)


def assembled(parts: RunParts, name: str, dtype: torch.dtype) -> BlipDiffusion:
    """The model with the averaged weights of the run's last states."""
    networks, vae = fresh_networks(parts), copy.deepcopy(parts.vae)
    average_weights(parts.stage("subject"), dict(networks.named_children()))
    if resume_step(parts.stage("autoencoder")):
        average_weights(parts.stage("autoencoder"), {"decoder": vae.decoder})
    for net in (networks, vae):
        net.to(dtype).eval()
    return BlipDiffusion(
        subject_encoder=networks.subject_encoder,
        text_encoder=networks.text_encoder,
        prompt_tokenizer=parts.prompts,
        category_tokenizer=parts.categories,
        unet=networks.unet,
        vae=vae,
        scheduler_config={"_class_name": "DDIMScheduler", "clip_sample": False, **MINI_SCHEDULE},
        photo=parts.photo,
        subject_fingerprint=fingerprint(networks.subject_encoder.state_dict()),
        guidance=parts.recipe.model.guidance,
        name=name,
    )
