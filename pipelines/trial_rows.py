"""Pictures that a model is tried on: subjects in scenes, each from its own noise."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import torch
from torch import Tensor

import blipdiff
from blipdiff.attention.taps import tapped
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from blipdiff.sampling.predictor import GuidedPredictor, NoisePredictor
from pipelines.evaluate.drawing import side_by_side, with_details
from pipelines.generate.request import GenerateRequest
from pipelines.plan import SamplingPlan, encode, plan_encoded

BUNDLED_SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
PROMPTS = (
    "on a beach",
    "in the snow",
    "under a night sky",
    "on a wooden table",
    "on a blue background",
    "on a grass field",
    "in a forest, as a watercolor painting",
    "in space",
)
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def bundled_subjects() -> list[SubjectPhoto]:
    """The subjects that come with the package."""
    return subjects_in(BUNDLED_SUBJECTS)


def subjects_in(folder: Path) -> list[SubjectPhoto]:
    """A photo for each PNG, JPEG or WebP of a folder that is not hidden, its name the category.

    Raises: ConfigError for no folder, or less than two, ImageError for one that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give one with a photo of each subject, named by its category.")
    seen = (path for path in folder.iterdir() if not path.name.startswith("."))
    paths = sorted(path for path in seen if path.suffix.lower() in _PICTURES)
    if len(paths) < 2:
        raise ConfigError(f"{folder} holds {len(paths)} pictures; one half fits the steps, the other measures them.")
    return [SubjectPhoto(open_picture(path), path.stem.replace("_", " ")) for path in paths]


@dataclass(frozen=True, slots=True, eq=False)
class TrialRows:
    """Pictures that a model is tried on: in `batch`es of so many at a time.

    noise: (rows, channels, h, w)
    """

    model: BlipDiffusion
    plans: tuple[SamplingPlan, ...]
    batch: int

    @classmethod
    def of(
        cls,
        model: BlipDiffusion,
        subjects: Sequence[SubjectPhoto],
        count: int,
        *,
        seed: int,
        batch: int = 8,
        reads: bool = False,
    ) -> "TrialRows":
        """Each subject in turn, before the scenes in turn; the same subject comes with another scene.

        count: of pictures; seed: of the first one's noise; reads: whether photos are read as the model does unasked
        """
        plans = []
        for row, photo in zip(range(count), cycle(subjects)):
            prompt = next(islice(cycle(PROMPTS), row + row // len(subjects), None))
            asked = GenerateRequest(category=photo.category, prompt=prompt, count=1, steps=1, guidance=2.0)
            subject = model.encode_subject(photo, fit="pad")
            plan = plan_encoded(model, encode(model, asked, subject), [seed + row])
            plans.append(with_details(model, asked, photo.image, subject, plan) if reads else plan)
        return cls(model, tuple(plans), batch)

    @property
    def noise(self) -> Tensor:
        """(rows, channels, h, w)"""
        return torch.cat([plan.latents for plan in self.plans])

    def at(self, guidance: float, *, may_stand_in: bool = False) -> NoisePredictor:
        """The prediction of all rows at a guidance scale, a batch at a time.

        may_stand_in: whether what is held beside the U-Net may compute
        """
        parts, reads = [], any(plan.more_keys is not None for plan in self.plans)
        for first in range(0, len(self.plans), self.batch):
            plan = side_by_side(self.plans[first : first + self.batch])
            scaled = replace(plan.guidance, scale=torch.full((plan.guidance.rows,), guidance))
            unet, read = self.model.unet, plan.more_keys
            parts.append(GuidedPredictor(unet, scaled, more_keys=read, may_stand_in=may_stand_in))

        def predict(latents: Tensor, moment: Moment) -> Tensor:
            pairs = zip(parts, latents.split(self.batch), strict=True)
            with tapped(self.model.unet) if reads else nullcontext():
                return torch.cat([part(some, moment) for part, some in pairs])

        return predict


def decibels(drawn: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The median and the least peak signal-to-noise ratio of pictures (n, 3, h, w) in [0, 1] to others."""
    squares = (drawn.float() - wanted.float()).square().mean((1, 2, 3)).clamp(min=1e-10)
    ratios = -10 * squares.log10()
    return round(float(ratios.median()), 1), round(float(ratios.min()), 1)
