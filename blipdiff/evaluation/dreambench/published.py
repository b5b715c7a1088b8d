"""What has been published on DreamBench: DINO ViT-S/16, CLIP-I and CLIP-T ViT-B/32; and on DreamBench++."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A method's figures; None where none is published."""

    method: str
    dino: float | None
    clip_i: float | None
    clip_t: float | None
    source: str


DREAMBENCH_TABLE = (
    Published("real photos", 0.774, 0.885, None, "Ruiz et al. 2023, arXiv:2208.12242"),
    Published("BLIP-Diffusion, zero-shot", 0.594, 0.779, 0.300, "Li et al. 2023, arXiv:2305.14720"),
    Published("BLIP-Diffusion, fine-tuned", 0.670, 0.805, 0.302, "Li et al. 2023, arXiv:2305.14720"),
    Published("DreamBooth, Stable Diffusion", 0.668, 0.803, 0.305, "Ruiz et al. 2023, arXiv:2208.12242"),
    Published("Textual Inversion, Stable Diffusion", 0.569, 0.780, 0.255, "Ruiz et al. 2023, arXiv:2208.12242"),
    Published("IP-Adapter, Stable Diffusion 1.5", 0.667, 0.813, 0.289, "as DreamCache reports it, arXiv:2411.17786"),
    Published("DreamCache, Stable Diffusion 1.5", 0.713, 0.810, 0.298, "Aiello et al. 2024, arXiv:2411.17786"),
)

# A judge's marks as shares of the best one: how far the subject is kept, how far the prompt is followed.
PLUS_PRESERVATION, PLUS_FOLLOWING = 0.547, 0.495  # BLIP-Diffusion, Peng et al. 2024, arXiv:2406.16855
PLUS_SOURCE = "Peng et al. 2024, arXiv:2406.16855"
