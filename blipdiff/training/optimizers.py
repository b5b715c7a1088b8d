"""The optimizer of a recipe: AdamW, or the same with moments in eight bits; and its state as named tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.training.sections import OptimizerRecipe

EIGHT_BIT = "8bit-"  # before the kinds of tensors of such a state
_STEP = "step"


def optimizer_of(
    recipe: OptimizerRecipe, parameters: Sequence[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over `parameters`; its moments take a byte each where the recipe says so (Dettmers et al. 2021,
    arXiv:2110.02861), as bitsandbytes keeps them on CUDA.

    Raises: ConfigError for eight bits off CUDA, MissingDependencyError for eight bits without bitsandbytes.
    """
    settings: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "betas": (0.9, recipe.beta2),
        "weight_decay": recipe.weight_decay,
    }
    if not recipe.eight_bit:
        return torch.optim.AdamW(parameters, fused=True, **settings)
    check_eight_bit(device)
    from bitsandbytes.optim import AdamW8bit

    return cast("torch.optim.Optimizer", AdamW8bit(parameters, **settings))


def check_eight_bit(device: torch.device) -> None:
    """Raises: ConfigError, MissingDependencyError where moments cannot be kept in eight bits."""
    if device.type != "cuda":
        raise ConfigError(
            f"The 8-bit optimizer runs on CUDA, and this is '{device.type}'; leave it out: moments are then float32."
        )
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("The 8-bit optimizer is bitsandbytes': pip install bitsandbytes.") from error


def eight_bit_moments(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What bitsandbytes keeps of one parameter, as tensors: moments, their scales and tables, and the step."""
    return {f"{EIGHT_BIT}{kind}": torch.as_tensor(value) for kind, value in state.items()}


def eight_bit_state(tensors: Mapping[str, Tensor], name: str, device: torch.device) -> dict[str, Any]:
    """The same again of the parameter `name`, out of a saved state's tensors; empty for one that no step reached."""
    found: dict[str, Any] = {}
    for key, tensor in tensors.items():
        kind, _, owner = key.removeprefix(EIGHT_BIT).partition(".")
        if key.startswith(EIGHT_BIT) and owner == name:
            found[kind] = int(tensor) if kind == _STEP else tensor.to(device)
    return found
