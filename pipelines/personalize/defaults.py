"""What learning a subject does best with, by method and by the model's size, where nobody says otherwise."""

from collections.abc import Mapping

from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.personalize.request import PersonalizeRequest

STEPS = 45
ROW_STEPS = 5  # of the subject's rows alone, before a LoRA or a U-Net learns with them
COOLDOWN = 0.7  # of the steps: what is kept is no state in the middle of a large step
_RATES: Mapping[str, float] = {"embedding": 1e-2, "lora": 8e-3, "full": 4e-4}  # measured on the bundled model
_LARGE_RATES: Mapping[str, float] = {"embedding": 1e-3, "lora": 2e-4, "full": 5e-6}  # as the paper and T-LoRA have them
_BATCH, _LARGE_BATCH = 16, 4
_EXPONENT = 2.5  # of the times, as the bundled model was trained: at the less noisy half nothing tells subjects apart
_LARGE = 320  # channels, from which on a U-Net is of Stable Diffusion's size


def rate_of(model: BlipDiffusion, method: str) -> float:
    """The learning rate of a method."""
    return (_LARGE_RATES if _is_large(model) else _RATES)[method]


def batch_of(model: BlipDiffusion, request: PersonalizeRequest) -> int:
    """Views in each step."""
    return request.batch or (_LARGE_BATCH if _is_large(model) else _BATCH)


def exponent_of(model: BlipDiffusion) -> float:
    """How much more often noisy times are drawn; 1 is evenly."""
    return 1.0 if _is_large(model) else _EXPONENT


def _is_large(model: BlipDiffusion) -> bool:
    return bool(model.unet.config.block_out_channels[0] >= _LARGE)
