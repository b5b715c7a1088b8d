"""BLIP-Diffusion: subject-driven image generation that can be steered (Li et al. 2023, arXiv:2305.14720).

The public names below are imported when they are first used, so that `import blipdiff` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blipdiff.checkpoints import Additions, convert, load_model, save_model
    from blipdiff.conditioning.guidance import Conditioning, Guidance
    from blipdiff.conditioning.layout import TokenLayout
    from blipdiff.conditioning.mixing import mix
    from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
    from blipdiff.control.controlnet import ControlBranch
    from blipdiff.errors import BlipdiffError
    from blipdiff.language.answers import Answer, Engine, Turn
    from blipdiff.language.engines import load_engine
    from blipdiff.models.blip_diffusion import BlipDiffusion
    from blipdiff.models.context_text_encoder import ContextTextEncoder
    from blipdiff.models.subject_encoder import SubjectEncoder
    from blipdiff.moment import Moment, Window
    from blipdiff.sampling.loop import Step, denoise
    from blipdiff.sampling.predictor import GuidedPredictor
    from blipdiff.sampling.schedulers import build_scheduler, set_timesteps

__version__ = "0.1.0"

_HOMES = {
    "Additions": "blipdiff.checkpoints",
    "Answer": "blipdiff.language.answers",
    "BlipDiffusion": "blipdiff.models.blip_diffusion",
    "BlipdiffError": "blipdiff.errors",
    "Conditioning": "blipdiff.conditioning.guidance",
    "ContextTextEncoder": "blipdiff.models.context_text_encoder",
    "ControlBranch": "blipdiff.control.controlnet",
    "Engine": "blipdiff.language.answers",
    "Guidance": "blipdiff.conditioning.guidance",
    "GuidedPredictor": "blipdiff.sampling.predictor",
    "Moment": "blipdiff.moment",
    "Step": "blipdiff.sampling.loop",
    "SubjectEmbedding": "blipdiff.conditioning.subject",
    "SubjectEncoder": "blipdiff.models.subject_encoder",
    "SubjectPhoto": "blipdiff.conditioning.subject",
    "TokenLayout": "blipdiff.conditioning.layout",
    "Turn": "blipdiff.language.answers",
    "Window": "blipdiff.moment",
    "build_scheduler": "blipdiff.sampling.schedulers",
    "convert": "blipdiff.checkpoints",
    "denoise": "blipdiff.sampling.loop",
    "load_engine": "blipdiff.language.engines",
    "load_model": "blipdiff.checkpoints",
    "mix": "blipdiff.conditioning.mixing",
    "save_model": "blipdiff.checkpoints",
    "set_timesteps": "blipdiff.sampling.schedulers",
}

__all__ = [
    "Additions",
    "Answer",
    "BlipDiffusion",
    "BlipdiffError",
    "Conditioning",
    "ContextTextEncoder",
    "ControlBranch",
    "Engine",
    "Guidance",
    "GuidedPredictor",
    "Moment",
    "Step",
    "SubjectEmbedding",
    "SubjectEncoder",
    "SubjectPhoto",
    "TokenLayout",
    "Turn",
    "Window",
    "__version__",
    "build_scheduler",
    "convert",
    "denoise",
    "load_engine",
    "load_model",
    "mix",
    "save_model",
    "set_timesteps",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'blipdiff' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
