"""What the parts of the diffusers face have in common: the pipeline's components as one value."""

from blipdiff.models.blip_diffusion import BlipDiffusion


class WithModel:
    """A part of a pipeline that has a `model`."""

    @property
    def model(self) -> BlipDiffusion:
        """The pipeline's components in one value; the pipeline itself has it."""
        raise NotImplementedError  # `PipelineParts` has it, whose parts these are
