"""The diffusers face: `BlipDiffusionPipeline` and what its calls are made of."""
