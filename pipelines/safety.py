"""Finished pictures looked at by Stable Diffusion's safety checker, for those who ask: what it flags is blurred."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageFilter
from torch.nn.functional import normalize

from blipdiff.checkpoints.detect import folder_of
from blipdiff.foreign import foreign
from blipdiff.strict_networks import strict_network

_CARE = 0.01  # how much sooner the rest is flagged where one of the special concepts is seen
_BLUR = 1 / 12  # of the longer side


class SafetyCheck:
    """diffusers' safety checker with its score in the open; a score above 0 is a flag."""

    def __init__(self, source: str | Path, *, download: bool = False) -> None:
        """From a folder, one that holds `safety_checker/`, or a hub id: CompVis/stable-diffusion-safety-checker.

        Raises: CheckpointError where there is none, or it is damaged.
        """
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        folder = folder_of(source, download=download)
        folder = folder / "safety_checker" if (folder / "safety_checker" / "config.json").is_file() else folder
        self.name = Path(source).name
        with foreign(folder, "a safety checker of Stable Diffusion"):
            self._net = strict_network(StableDiffusionSafetyChecker, str(folder), "safety checker").float().eval()
        side = int(self._net.config.vision_config.image_size)
        self._processor = CLIPImageProcessor(size=side, crop_size=side)

    @torch.no_grad()
    def score(self, image: Image.Image) -> float:
        """How far the nearest of the checker's concepts is beyond its threshold; below 0 for none."""
        pixels = self._processor(image, return_tensors="pt").pixel_values
        seen = normalize(self._net.visual_projection(self._net.vision_model(pixels)[1]))
        care, concepts = (
            (seen @ normalize(getattr(self._net, f"{name}_embeds")).T)[0] - getattr(self._net, f"{name}_embeds_weights")
            for name in ("special_care", "concept")
        )
        return float(concepts.max()) + (_CARE if bool((care > 0).any()) else 0.0)

    def looked_at(self, image: Image.Image) -> tuple[Image.Image, dict[str, Any]]:
        """The picture, blurred where it is flagged, and what its metadata tell of it."""
        score = round(self.score(image), 3)
        told = {"checker": self.name, "score": score, "blurred": score > 0}
        return (image.filter(ImageFilter.GaussianBlur(max(image.size) * _BLUR)) if score > 0 else image), told
