"""What a card's file says of weights that were learned of its subject, for us and for other programs.

Keys and `lora_adapter_metadata` as diffusers' and PEFT's, ModelSpec 1.0.1, and the `ss_*` that kohya's scripts write.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blipdiff.conditioning.subject_weights import CHANGE, DOWN, PREFIX, UP, SubjectWeights
from blipdiff.errors import SubjectError

if TYPE_CHECKING:
    from torch import Tensor

PEFT_SETTINGS = "lora_adapter_metadata"
_FINGERPRINT, _BASE, _LEAST, _TOLD = "weights_fingerprint", "unet_fingerprint", "least_rank", "tuned"


def is_weight(name: str) -> bool:
    """Whether a tensor of this name is a change of a U-Net."""
    return name.startswith(PREFIX) and name.endswith((DOWN, UP, CHANGE))


def weights_texts(weights: SubjectWeights, title: str) -> dict[str, str]:
    """The file's metadata. title: what the subject is"""
    texts = {_FINGERPRINT: weights.fingerprint, _BASE: weights.base, _TOLD: _json(weights.told)}
    if weights.least_rank is not None:
        texts[_LEAST] = str(weights.least_rank)
    return texts | foreign_texts(weights, title)


def foreign_texts(weights: SubjectWeights, title: str) -> dict[str, str]:
    """What other programs read: ModelSpec always, the LoRA's settings where it is one."""
    told, rank = weights.told, weights.rank
    kind = "/lora" if rank else ""
    side = told.get("picture", "512")
    texts = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"stable-diffusion-v1{kind}",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.prediction_type": told.get("prediction", "epsilon").removesuffix("_prediction"),
        "modelspec.trigger_phrase": title,
    }
    if not rank:
        return texts
    settings = {"r": rank, "lora_alpha": rank, "target_modules": weights.layers}
    return texts | {
        PEFT_SETTINGS: _json({f"{PREFIX}{name}": value for name, value in settings.items()}),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_base_model_version": "sd_v1",
        "ss_output_name": title,
        "ss_steps": told.get("steps", "0"),
        "ss_learning_rate": told.get("learning_rate", "0"),
        "ss_seed": told.get("seed", "0"),
        "ss_resolution": f"({side}, {side})",
    }


def read_weights(tensors: "Mapping[str, Tensor]", texts: Mapping[str, str]) -> SubjectWeights | None:
    """The weights among a card's tensors; None where there are none. Raises: SubjectError for damaged ones."""
    found = {name: one for name, one in tensors.items() if is_weight(name)}
    if not found:
        return None
    least = texts.get(_LEAST)
    if least is not None and not least.isdecimal():
        raise SubjectError(f"its least rank is {least!r:.40}")
    told = _told(texts.get(_TOLD, "{}"))
    weights = SubjectWeights.of(
        found, texts.get(_BASE, ""), least_rank=None if least is None else int(least), told=told
    )
    if texts.get(_FINGERPRINT, weights.fingerprint) != weights.fingerprint:
        raise SubjectError("its weights are not those that it was saved with")
    return weights


def _told(text: str) -> dict[str, str]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SubjectError("what it tells of its weights cannot be read") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SubjectError("what it tells of its weights is no list of names and texts")
    return found


def _json(value: Any) -> str:
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
