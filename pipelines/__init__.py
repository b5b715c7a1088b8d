"""Tasks: a request becomes a plan, a plan becomes steps, steps become pictures."""

from pipelines.blip_diffusion import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
from pipelines.plan import SamplingPlan, execute
from pipelines.requests import GenerateRequest

__all__ = ["BlipDiffusionControlNetPipeline", "BlipDiffusionPipeline", "GenerateRequest", "SamplingPlan", "execute"]
