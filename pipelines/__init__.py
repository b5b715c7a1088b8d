"""Tasks: a request becomes a plan, a plan becomes steps, steps become pictures. Imported when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.diffusers_pipeline.pipeline import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
    from pipelines.plan import SamplingPlan, execute
    from pipelines.requests import GenerateRequest
    from pipelines.results import Picture
    from pipelines.studio import Studio

_HOMES = {
    "BlipDiffusionControlNetPipeline": "pipelines.diffusers_pipeline.pipeline",
    "BlipDiffusionPipeline": "pipelines.diffusers_pipeline.pipeline",
    "GenerateRequest": "pipelines.requests",
    "Picture": "pipelines.results",
    "SamplingPlan": "pipelines.plan",
    "Studio": "pipelines.studio",
    "execute": "pipelines.plan",
}

__all__ = [
    "BlipDiffusionControlNetPipeline",
    "BlipDiffusionPipeline",
    "GenerateRequest",
    "Picture",
    "SamplingPlan",
    "Studio",
    "execute",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelines' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
