"""Cut-outs: where in its photo a subject is, found in the surest way that the photo allows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_layers
from blipdiff.masks import as_mask

Way: TypeAlias = Literal["given", "alpha", "plain ground", "segmenter", "grabcut"]
Mask: TypeAlias = npt.NDArray[np.float32]  # (H, W), from 0 to 1
Segment: TypeAlias = Callable[[Image.Image], Mask]  # an RGB photo -> the chance of each place to be the subject

SMALLEST, LARGEST = 0.005, 0.98  # share of the photo that a subject takes
KEPT_SIDE = 512  # pixels of a cut-out that is kept, at most

_LARGEST_WORK = 640  # pixels of the longer side on which a cut-out is found
_SEEN = 0.5  # alpha, or chance, from which a pixel is the subject
_NEAR, _EVEN = 12.0, 6.0  # in Lab: as far from the ground's colour is ground; spread of a rim that is plain
_COLOURED, _SAME = 6.0, 2.0  # in Lab: chroma of a ground that few subjects have by chance; equal to it
_PLAIN_RIM = 0.9  # the share of the rim that has the ground's colour
_ROUNDS = 5  # of GrabCut
_FRAME = 0.06  # of the sides: what GrabCut takes for ground to begin with
_BAND = 0.02  # of the longer side: the width along the outline that matting decides
_STRETCH = 0.03  # by which the sides of a given mask may differ from the photo's: those of a small copy are rounded
_SURE_BORDER = 0.35  # of the photo's rim that a cut-out may touch and still be sure


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """A subject without its ground.

    image: RGBA, no larger than the subject; mask: of the whole photo, "L", 255 where the subject is; way: how it was
    found; sure: whether it need not be looked at
    """

    image: Image.Image
    mask: Image.Image
    way: Way
    sure: bool

    @property
    def note(self) -> str | None:
        """A sentence where it should be looked at."""
        if self.sure:
            return None
        how = {"grabcut": "by its colours alone (GrabCut)", "segmenter": "by a segmenter"}.get(self.way, self.way)
        return (
            f"The subject was cut out of its photo {how}, which may be wrong: look at it with 'blipdiff cut-out', or "
            "give a PNG with transparent ground."
        )


def cut_out(photo: PictureLike, *, mask: PictureLike | None = None, segment: Segment | None = None) -> CutOut:
    """The subject of a photo: by its transparency, by its plain ground, by `segment` where given, else by GrabCut.

    mask: white where the subject is, of the photo's shape; then nothing is looked for

    Raises: ImageError where no subject is found, or everything would be one, and for a mask of another shape;
    MissingDependencyError where a photo on uneven ground needs packages that are not installed.
    """
    layers = as_layers(photo)
    rgb = np.asarray(layers.convert("RGB"))
    if mask is not None:
        return _finished(rgb, _fitting(as_mask(mask), layers.size), "given", sure=True)
    if layers.mode == "RGBA" and (np.asarray(layers)[..., 3] < 255).any():
        return _finished(rgb, _shares(layers.getchannel("A")), "alpha", sure=True)
    plain = _off_plain_ground(rgb)
    if plain is not None:
        return _finished(rgb, plain, "plain ground", sure=True)
    if segment is not None:
        return _segmented(rgb, segment(Image.fromarray(rgb)), "segmenter")
    return _segmented(rgb, _grabbed(rgb), "grabcut")


def reduced(image: Image.Image, side: int = KEPT_SIDE) -> Image.Image:
    """An RGBA cut-out whose longer side is at most `side` pixels, its colours not mixed with what is transparent."""
    longest = max(image.size)
    if longest <= side:
        return image
    size = (max(1, round(image.width * side / longest)), max(1, round(image.height * side / longest)))
    return _resized(image, size)


def framed(image: Image.Image, size: tuple[int, int], filled: float = 0.875) -> tuple[Image.Image, Image.Image]:
    """A cut-out in the middle of a white picture of `size` = (W, H), and its mask there: RGB and "L".

    filled: the share of the picture that its longer side takes
    """
    scale = filled * min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = _resized(image, inner)
    place = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    layer = Image.new("RGBA", size, (255, 255, 255, 0))
    layer.paste(small, place)
    picture = Image.alpha_composite(Image.new("RGBA", size, "white"), layer).convert("RGB")
    return picture, layer.getchannel("A")


def closed_form_matte(
    picture: npt.NDArray[np.uint8], trimap: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Alpha (H, W) and foreground colours (H, W, 3), both from 0 to 1 (Levin et al. 2008, IEEE TPAMI 30:228-242).

    Raises: MissingDependencyError where pymatting is not installed.
    """
    try:
        from pymatting import estimate_alpha_cf, estimate_foreground_ml
    except ImportError as error:
        raise MissingDependencyError("Matting needs pymatting: pip install 'blipdiff[data]'.") from error
    known = picture.astype(np.float64) / 255
    alpha = estimate_alpha_cf(known, trimap.astype(np.float64) / 255)
    return alpha, estimate_foreground_ml(known, alpha)


def _finished(rgb: npt.NDArray[np.uint8], mask: Mask, way: Way, *, sure: bool) -> CutOut:
    share = float((mask > _SEEN).mean())
    if share < SMALLEST:
        raise ImageError(
            f"No subject was found in the photo ({way}: {share:.1%} of it). Give one in which it stands out, or a PNG "
            "with transparent ground."
        )
    if share > LARGEST:
        raise ImageError(
            f"The whole photo would be the subject ({way}: {share:.1%} of it). Give one with some ground around it, or "
            "a PNG with transparent ground."
        )
    seen = mask > 0.02
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    alpha = np.clip(mask * 255 + 0.5, 0, 255).astype(np.uint8)
    colours = np.where(alpha[..., None] > 0, rgb, 255).astype(np.uint8)  # what was behind the subject is nobody's
    layers = np.dstack([colours, alpha])[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CutOut(Image.fromarray(np.ascontiguousarray(layers)), Image.fromarray(alpha), way, sure)


def _fitting(mask: Image.Image, size: tuple[int, int]) -> Mask:
    """A mask at the photo's size = (W, H): what was painted on a smaller copy of it fits as well."""
    if abs(mask.width * size[1] - mask.height * size[0]) > _STRETCH * max(mask.width * size[1], mask.height * size[0]):
        raise ImageError(
            f"The cut-out's mask is {mask.width} x {mask.height} pixels, the photo {size[0]} x {size[1]}; give a mask "
            "of the photo's shape."
        )
    return _shares(mask if mask.size == size else mask.resize(size, Image.Resampling.BICUBIC))


def _segmented(rgb: npt.NDArray[np.uint8], chances: Mask, way: Way) -> CutOut:
    """A cut-out from chances, its outline decided by matting where that is installed."""
    found = chances > _SEEN
    rim = np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])
    sure = way == "segmenter" and float(rim.mean()) < _SURE_BORDER
    share = float(found.mean())
    if not SMALLEST <= share <= LARGEST:
        return _finished(rgb, found.astype(np.float32), way, sure=sure)  # which says so
    return _finished(rgb, _matted(rgb, found), way, sure=sure)


def _matted(rgb: npt.NDArray[np.uint8], found: npt.NDArray[np.bool_]) -> Mask:
    height, width = found.shape
    scale = min(1.0, _LARGEST_WORK / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
    inside = _shares(Image.fromarray(found).convert("L").resize(size, Image.Resampling.BOX))
    trimap = _trimap(inside, max(2, round(_BAND * max(size))))
    try:
        alpha = np.asarray(closed_form_matte(small, trimap)[0], np.float32) if trimap is not None else inside
    except MissingDependencyError:
        alpha = inside
    grey = Image.fromarray(np.clip(alpha * 255 + 0.5, 0, 255).astype(np.uint8))
    return _shares(grey.resize((width, height), Image.Resampling.BICUBIC))


def _trimap(inside: Mask, band: int) -> npt.NDArray[np.uint8] | None:
    """255 well inside, 0 well outside, 128 along the outline; None where one of the first two is missing."""
    from PIL import ImageFilter

    grey = Image.fromarray((inside > _SEEN).astype(np.uint8) * 255)
    core = np.asarray(grey.filter(ImageFilter.MinFilter(2 * band + 1)))
    reach = np.asarray(grey.filter(ImageFilter.MaxFilter(2 * band + 1)))
    trimap = np.where(core > 0, 255, np.where(reach > 0, 128, 0)).astype(np.uint8)
    return trimap if (trimap == 255).any() and (trimap == 0).any() else None


def _off_plain_ground(rgb: npt.NDArray[np.uint8]) -> Mask | None:
    """What the flood from the rim does not reach, on a ground of one colour; None where the ground is not plain.

    The flood goes on while a pixel's colour is near the ground's in Lab. What it does not reach is the subject's, an
    eye's white on white as well; but on coloured ground a hole of the very same colour shows that ground.
    """
    colours = _lab(rgb)
    rim = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    ground = np.median(rim, axis=0)
    away = np.linalg.norm(rim - ground, axis=1)
    if float((away < _NEAR).mean()) < _PLAIN_RIM or float(np.median(away)) > _EVEN:
        return None
    distance = np.linalg.norm(colours - ground, axis=2)
    outside = _flooded(distance < _NEAR)
    if float(np.hypot(ground[1], ground[2])) > _COLOURED:
        outside |= distance < _SAME
    mask = (~outside).astype(np.float32)
    if not SMALLEST <= float(mask.mean()) <= LARGEST:
        return None
    return mask


def _flooded(near: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What of `near` hangs together with the rim, by four neighbours."""
    outside = np.zeros_like(near)
    outside[0], outside[-1], outside[:, 0], outside[:, -1] = near[0], near[-1], near[:, 0], near[:, -1]
    before = -1
    while (count := int(outside.sum())) != before:
        before = count
        for turned, ground in ((outside, near), (outside.T, near.T)):
            for order in (range(1, len(turned)), range(len(turned) - 2, -1, -1)):
                step = 1 if order.step > 0 else -1
                for line in order:
                    turned[line] |= turned[line - step] & ground[line]
    return outside


def _grabbed(rgb: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut (Rother et al. 2004) from a frame that is taken for ground."""
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError(
            "A subject on uneven ground is cut out by OpenCV: pip install 'blipdiff[control]'; or give a PNG with "
            "transparent ground."
        ) from error
    height, width = rgb.shape[:2]
    scale = min(1.0, _LARGEST_WORK / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)[..., ::-1])
    across, down = max(1, round(_FRAME * size[0])), max(1, round(_FRAME * size[1]))
    mask = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    box = (across, down, size[0] - 2 * across, size[1] - 2 * down)
    cv2.grabCut(small, mask, box, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_RECT)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.float32)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _shares(grey: Image.Image) -> Mask:
    """255 levels as numbers from 0 to 1."""
    return np.asarray(np.asarray(grey, np.float32) / 255, np.float32)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """RGBA resized with its colours weighed by alpha."""
    method = Image.Resampling.LANCZOS if size[0] < image.width else Image.Resampling.BICUBIC
    return image.convert("RGBa").resize(size, method).convert("RGBA")


def _lab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """CIE L*a*b* of sRGB under D65: (H, W, 3), lightness from 0 to 100."""
    plain = rgb.astype(np.float32) / 255
    linear = np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089], np.float32)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
