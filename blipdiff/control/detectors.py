"""Detectors with weights of their own: those of controlnet_aux, and depth and segmentation models of transformers.

Each is loaded when it is first asked for, from a folder or from the hub's cache; nothing is fetched unless allowed.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import transformers
from PIL import Image
from torch.nn import functional

from blipdiff.control.ade20k import PALETTE
from blipdiff.errors import BlipdiffError, CheckpointError, MissingDependencyError
from blipdiff.strict_networks import strict_network

Detector: TypeAlias = Callable[[Image.Image], Image.Image]

_AUX_CLASSES = {
    "hed": "HEDdetector",
    "pidinet": "PidiNetDetector",
    "lineart": "LineartDetector",
    "lineart-anime": "LineartAnimeDetector",
    "mlsd": "MLSDdetector",
    "midas": "MidasDetector",
    "zoe": "ZoeDetector",
    "normals": "NormalBaeDetector",
    "pose": "OpenposeDetector",
    "dwpose": "DWposeDetector",
}
_UNUSED = r"^neck\.fusion_stage\.layers\.0\.residual_layer1\."  # by DPT's first; files may lack it
_METRIC = ("zoedepth", "depth_pro")  # models that say metres, so that near is small


def load_detector(name: str, weights: str, *, download: bool = False, device: str = "cpu") -> Detector:
    """The detector of a preprocessor, with the weights in a folder or of a hub id: RGB -> RGB of the same size.

    Raises: MissingDependencyError when its package is not installed or does not start, CheckpointError when its
    weights are neither in the folder nor in the hub's cache, or are not its own.
    """
    if name == "depth":
        return _depth(weights, download, device)
    if name == "segmentation":
        return _segmentation(weights, download, device)
    return _aux(name, weights, download, device)


def _aux(name: str, weights: str, download: bool, device: str) -> Detector:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the package talks while it is imported
            import controlnet_aux
    except (ImportError, AttributeError) as error:  # AttributeError: beside a newer mediapipe
        raise MissingDependencyError(
            f"The preprocessor '{name}' needs controlnet_aux, which cannot be imported ({error}): "
            "pip install 'blipdiff[control]', without mediapipe."
        ) from error
    kind: Any = getattr(controlnet_aux, _AUX_CLASSES[name])
    if name == "dwpose":
        try:
            detector = kind(device=device)
        except (NameError, ImportError) as error:
            raise MissingDependencyError(
                "The preprocessor 'dwpose' needs mmcv, mmdet and mmpose of OpenMMLab; the preprocessor 'pose' does not."
            ) from error
    else:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                options = {} if _is_folder(weights) else {"local_files_only": not download}
                detector = kind.from_pretrained(weights, **options)
        except ImportError as error:
            raise MissingDependencyError(f"The preprocessor '{name}' needs another package: {error}.") from error
        except Exception as error:  # a foreign file, and nothing but the call that reads it
            raise _unusable(name, weights, download, error) from error
        detector = detector.to(device) if hasattr(detector, "to") else detector

    def detect(picture: Image.Image) -> Image.Image:
        side = min(picture.size)
        found = detector(picture, detect_resolution=side, image_resolution=side, output_type="pil")
        return found.convert("RGB").resize(picture.size, Image.Resampling.BILINEAR)  # type: ignore[no-any-return]

    return detect


def _depth(weights: str, download: bool, device: str) -> Detector:
    processor, net = _transformers("depth", weights, download, device, transformers.AutoModelForDepthEstimation)
    says_metres = net.config.model_type in _METRIC or getattr(net.config, "depth_estimation_type", "") == "metric"

    @torch.no_grad()
    def detect(picture: Image.Image) -> Image.Image:
        inputs = processor(images=picture, return_tensors="pt").to(net.device)
        depth = net(**inputs).predicted_depth.float()[:, None]  # (1, 1, h, w)
        size = (picture.height, picture.width)
        depth = functional.interpolate(depth, size, mode="bicubic", align_corners=False)[0, 0]
        near = -depth if says_metres else depth
        low, high = near.min(), near.max()
        scaled = (near - low) / (high - low).clamp(min=torch.finfo(near.dtype).tiny)
        return Image.fromarray((scaled * 255).round().to(torch.uint8).cpu().numpy()).convert("RGB")

    return detect


def _segmentation(weights: str, download: bool, device: str) -> Detector:
    processor, net = _transformers(
        "segmentation", weights, download, device, transformers.AutoModelForSemanticSegmentation
    )
    colours = np.frombuffer(bytes.fromhex(PALETTE), np.uint8).reshape(-1, 3)

    @torch.no_grad()
    def detect(picture: Image.Image) -> Image.Image:
        inputs = processor(images=picture, return_tensors="pt").to(net.device)
        size = (picture.height, picture.width)
        labels = processor.post_process_semantic_segmentation(net(**inputs), target_sizes=[size])[0]
        return Image.fromarray(colours[labels.cpu().numpy() % len(colours)])

    return detect


def _transformers(name: str, weights: str, download: bool, device: str, kind: Any) -> tuple[Any, Any]:
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(weights, local_files_only=not download)
        what = f"preprocessor '{name}'"
        net = strict_network(kind, weights, what, unused=_UNUSED, local_files_only=not download)
    except BlipdiffError:
        raise
    except ImportError as error:
        raise MissingDependencyError(f"The preprocessor '{name}' needs another package: {error}") from error
    except Exception as error:  # a foreign file, and nothing but the call that reads it
        raise _unusable(name, weights, download, error) from error
    return processor, net.to(device).eval()


def _is_folder(weights: str) -> bool:
    try:
        return Path(weights).is_dir()
    except OSError:  # a name that no file system takes
        return False


def _unusable(name: str, weights: str, download: bool, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if _is_folder(weights):
        return CheckpointError(f"The folder {weights} holds no weights for the preprocessor '{name}': {reason}")
    advice = "the hub is out of reach" if download else "nothing is fetched unless asked. Add --download"
    return CheckpointError(
        f"The weights of the preprocessor '{name}', {weights}, are not on this machine, and {advice}, "
        f"or give the folder of a copy. ({reason})"
    )
