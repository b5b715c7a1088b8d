"""A subject cut out of its photo: where it is, a trimap around it, and its alpha by closed-form matting.

As BLIP-Diffusion prepares its pairs (Li et al. 2023, arXiv:2305.14720, sec. 4.1): CLIPSeg by the category's name
(Lüddecke and Ecker 2022, arXiv:2112.10003), then closed-form matting (Levin et al. 2008, IEEE TPAMI 30:228-242).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPSegForImageSegmentation

from blipdiff.checkpoints.configs import photo_settings, read_json
from blipdiff.data.records import Pixels
from blipdiff.errors import SubjectError
from blipdiff.foreign import foreign
from blipdiff.images import PhotoSettings, subject_pixels
from blipdiff.strict_networks import strict_network
from blipdiff.transformers_types import CLIPTokenizer

Floats = NDArray[np.float64]
Matte = Callable[
    [Pixels, Pixels], tuple[Floats, Floats]
]  # picture, trimap -> alpha (H, W), foreground (H, W, 3), 0 to 1

SURE, POSSIBLE = 0.55, 0.15  # chances above which a place is the subject, and below which it is not
SMALLEST, LARGEST = 0.01, 0.9  # share of the picture that a subject takes
_BAND = 0.02  # of the side, around the subject's edge, that matting decides


@dataclass(frozen=True, slots=True)
class Segmenter:
    """CLIPSeg: where in a photo the thing of a name is."""

    network: Any
    tokenizer: CLIPTokenizer
    photo: PhotoSettings

    @torch.no_grad()
    def chances(self, photo: Image.Image, category: str) -> NDArray[np.float32]:
        """The chance of each place to be of `category`: (H, W) of the photo, 0 to 1."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].to(self.network.device)
        words = self.tokenizer([f"a photo of a {category}"], return_tensors="pt").to(self.network.device)
        scores = self.network(pixel_values=pixels, **words).logits
        found = torch.sigmoid(scores.float()).reshape(scores.shape[-2:]).cpu().numpy()
        return np.asarray(cv2.resize(found, photo.size, interpolation=cv2.INTER_LINEAR), np.float32)


def load_segmenter(folder: Path, device: torch.device | str = "cpu") -> Segmenter:
    """CLIPSeg from its folder. Raises: CheckpointError when the folder holds none."""
    with foreign(folder, "a folder with CLIPSeg"):
        network = strict_network(CLIPSegForImageSegmentation, str(folder), "CLIPSeg", local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return Segmenter(
        network.to(device).eval(), tokenizer, photo_settings(read_json(folder / "preprocessor_config.json"), {})
    )


def trimap_of(chances: NDArray[np.float32]) -> Pixels:
    """255 where the subject surely is, 0 where it surely is not, 128 between and along its edge.

    Raises: SubjectError when nothing is found, or nearly everything.
    """
    sure = (chances > SURE).astype(np.uint8)
    share = float(sure.mean())
    if not SMALLEST <= share <= LARGEST:
        what = "nothing of its category was found" if share < SMALLEST else "its category seems to be everywhere"
        raise SubjectError(f"{what} ({share:.1%} of the picture)")
    band = max(3, round(_BAND * min(chances.shape))) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band, band))
    inside = cv2.erode(sure, kernel)
    outside = cv2.dilate((chances > POSSIBLE).astype(np.uint8), kernel)
    trimap = np.full(chances.shape, 128, np.uint8)
    trimap[outside == 0] = 0
    trimap[inside == 1] = 255
    if not (trimap == 255).any() or not (trimap == 0).any():
        raise SubjectError("its subject cannot be told from its ground")
    return trimap


def cut_out(alpha: Floats, foreground: Floats, side: int) -> Pixels:
    """The subject alone on a transparent square (side, side, 4), a little room around it."""
    rows, columns = (np.flatnonzero(alpha.max(axis=axis) > 0.5) for axis in (1, 0))
    middle = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    scale = side * 0.88 / longest
    colours = np.clip(foreground * 255 + 0.5, 0, 255) * alpha[..., None]  # premultiplied: no fringe from resizing
    layers = np.dstack([colours, alpha * 255]).astype(np.float32)
    matrix = np.array([[scale, 0, side / 2 - scale * middle[1]], [0, scale, side / 2 - scale * middle[0]]], np.float32)
    placed = cv2.warpAffine(layers, matrix, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    opacity = np.clip(placed[..., 3:] / 255, 1e-6, 1)
    return np.clip(np.dstack([placed[..., :3] / opacity, placed[..., 3]]) + 0.5, 0, 255).astype(np.uint8)
