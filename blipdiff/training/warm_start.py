"""Going on from a checkpoint: its weights in new networks, which may be deeper than it is."""

import re
import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.configs import forget_places
from blipdiff.errors import CheckpointError
from blipdiff.outputs import written_folder
from blipdiff.training.stage2 import SubjectNetworks

TOKENIZERS = ("tokenizer", "qformer_tokenizer")
_UP_BLOCK = re.compile(r"up_blocks\.(\d+)\.")


def warm_start(networks: SubjectNetworks, checkpoint: Path) -> tuple[str, ...]:
    """Copy a checkpoint's weights into `networks`; returns the names that keep their fresh ones.

    A U-Net may have gained coarser levels: its blocks are then matched from the finest level on.

    Raises: CheckpointError when the subject encoder or the text encoder is of other sizes, or no part of the U-Net
        fits.
    """
    model = load_model(checkpoint, dtype=torch.float32)
    for name, new, old in (
        ("subject encoder", networks.subject_encoder, model.subject_encoder),
        ("text encoder", networks.text_encoder, model.text_encoder),
    ):
        fresh = _copy(new, dict(old.state_dict()))
        if fresh:
            raise CheckpointError(f"The {name} of {checkpoint} is of other sizes than the recipe's: {fresh[0]}.")
    gained = len(networks.unet.config.block_out_channels) - len(model.unet.config.block_out_channels)
    renamed = {_shifted(name, gained): tensor for name, tensor in model.unet.state_dict().items()}
    fresh = _copy(networks.unet, renamed)
    if len(fresh) == len(networks.unet.state_dict()):
        raise CheckpointError(f"Nothing of the U-Net of {checkpoint} fits the recipe's.")
    return tuple(f"unet.{name}" for name in fresh)


def take_over_vocabulary(checkpoint: Path, folder: Path) -> None:
    """Tokenizers and autoencoder of a checkpoint into a run's folder, where `prepare` finds them.

    Raises: CheckpointError when the checkpoint holds none.
    """
    for name in (*TOKENIZERS, "vae"):  # the autoencoder last: it tells that everything is there
        if (folder / name).exists():
            continue
        if not (checkpoint / name).is_dir():
            raise CheckpointError(f"There is no {name} in {checkpoint} to go on from.")
        with written_folder(folder / name) as place:
            shutil.copytree(checkpoint / name, place, dirs_exist_ok=True)
            forget_places(place)


@torch.no_grad()
def _copy(module: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Copies what has the same name and shape; returns the module's names that found nothing."""
    left = []
    for name, value in module.state_dict().items():
        if name in tensors and tensors[name].shape == value.shape:
            value.copy_(tensors[name])
        else:
            left.append(name)
    return left


def _shifted(name: str, gained: int) -> str:
    return _UP_BLOCK.sub(lambda found: f"up_blocks.{int(found[1]) + gained}.", name)
