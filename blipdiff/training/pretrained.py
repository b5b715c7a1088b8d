"""Where the full-size Q-Former and vision trunk begin: the weights of BERT-base and of CLIP, from their folders.

As BLIP-2 (Li et al. 2023, arXiv:2301.12597, sec. 3.1): cross-attention and queries are fresh, the queries' own
feed-forward parts begin as the words' do.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from blipdiff.checkpoints.weights import open_tensors, weight_paths
from blipdiff.errors import CheckpointError, listed
from blipdiff.models.representation import Representation

_STEMS = ("model", "pytorch_model")
_CLIP_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")


@torch.no_grad()
def begin_with_bert(network: Representation, folder: Path) -> None:
    """Words, positions, self-attention, feed-forward parts and the word head of a BERT of the same sizes.

    `[DEC]`, which BERT has not, begins as the mean of its words.
    Raises: CheckpointError when the folder holds no such BERT.
    """
    stored = {name.removeprefix("bert."): tensor for name, tensor in _tensors(folder).items()}
    own = dict(network.state_dict())
    wanted: dict[str, Tensor] = {}
    for name in own:
        source = _bert_name(name)
        if source is not None:
            wanted[name] = stored.get(source, torch.empty(0))
    table = stored.get("embeddings.word_embeddings.weight", torch.empty(0, 0))
    name = "embeddings.word_embeddings.weight"
    if table.shape[0] == own[name].shape[0] - 1:  # [DEC] is the last
        wanted[name] = torch.cat([table, table.mean(dim=0, keepdim=True)])
    bias = stored.get("cls.predictions.bias", torch.empty(0))
    if bias.shape[0] == own["cls.bias"].shape[0] - 1:
        wanted["cls.bias"] = torch.cat([bias, bias.min()[None]])
    _fill(own, wanted, f"the BERT in {folder}", optional=("cls.",))


@torch.no_grad()
def begin_with_clip(network: Representation, folder: Path) -> None:
    """The vision half of a CLIP of the same sizes, of which the last blocks may be left over.

    BLIP-2's norm over all rows is none of CLIP's and stays as it is.
    Raises: CheckpointError when the folder holds no such CLIP.
    """
    stored = {
        name.removeprefix("vision_model."): tensor
        for name, tensor in _tensors(folder).items()
        if name.startswith(("vision_model.", "embeddings.", "pre_layrnorm.", "encoder."))
    }
    own = {
        name: tensor
        for name, tensor in network.visual_encoder.state_dict().items()
        if not name.startswith("post_layernorm.")
    }
    _fill(own, {name: _clip_tensor(name, stored) for name in own}, f"the CLIP in {folder}")


def _tensors(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path in weight_paths(folder, _STEMS):
        found |= open_tensors(path)
    return found


def _bert_name(name: str) -> str | None:
    """BERT's name of a tensor of the Q-Former; None for what is fresh."""
    if name.startswith("cls."):
        rest = name.removeprefix("cls.")
        return f"cls.predictions.{rest}" if rest == "bias" else f"cls.predictions.transform.{rest}"
    if name.startswith("embeddings."):
        return name
    if not name.startswith("encoder.layer.") or ".crossattention." in name:
        return None
    name = name.replace("intermediate_query.", "intermediate.").replace("output_query.", "output.")
    return name.replace(".attention.attention.", ".attention.self.")


def _clip_tensor(name: str, stored: dict[str, Tensor]) -> Tensor:
    """A tensor of the trunk from CLIP's, where query, key and value are apart."""
    absent = torch.empty(0)
    if name.startswith("embeddings."):
        return stored.get(name.replace("position_embedding", "position_embedding.weight"), absent)
    if name.startswith("pre_layernorm."):
        return stored.get(name.replace("pre_layernorm", "pre_layrnorm"), absent)  # so spelt in its files
    found = _CLIP_LAYER.fullmatch(name)
    if found is None:
        return absent
    layer, rest = found.groups()
    if rest.startswith("self_attn.qkv."):
        kind = rest.rpartition(".")[2]
        parts = [stored.get(f"encoder.layers.{layer}.self_attn.{one}_proj.{kind}", absent) for one in "qkv"]
        return torch.cat(parts) if all(part.numel() for part in parts) else absent
    return stored.get(f"encoder.layers.{layer}.{rest.replace('self_attn.projection', 'self_attn.out_proj')}", absent)


def _fill(own: dict[str, Tensor], wanted: dict[str, Tensor], what: str, *, optional: tuple[str, ...] = ()) -> None:
    faults = [
        f"{name} {list(tensor.shape)} instead of {list(own[name].shape)}"
        for name, tensor in wanted.items()
        if tensor.numel() != own[name].numel() and not (name.startswith(optional) and not tensor.numel())
    ]
    if faults:
        raise CheckpointError(f"{what[0].upper()}{what[1:]} does not fit: {len(faults)} tensors, {listed(faults)}.")
    for name, tensor in wanted.items():
        if tensor.numel():
            own[name].copy_(tensor.reshape(own[name].shape))
