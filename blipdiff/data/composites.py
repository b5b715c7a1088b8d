"""A cut-out placed in a picture: scaled, turned, and laid over a ground."""

import cv2
import numpy as np

from blipdiff.data.records import Pixels


def premultiplied(picture: Pixels) -> Pixels:
    """RGBA with colours scaled by alpha, so that resizing does not draw in what lies under alpha 0."""
    result = np.array(picture)
    alpha = cv2.merge([result[..., 3]] * 3)
    result[..., :3] = cv2.multiply(result[..., :3], alpha, scale=1 / 255)
    return result


def warped(cut_out: Pixels, scale: float, degrees: float, x: float, y: float) -> Pixels:
    """Premultiplied RGBA `cut_out` scaled, turned, and centred at (x, y), fractions of the side."""
    side = cut_out.shape[0]
    source, zoom = cut_out, scale
    if scale < 0.62:
        source, zoom = cv2.resize(cut_out, (side // 2, side // 2), interpolation=cv2.INTER_AREA), scale * 2
    centre = (source.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, zoom)
    matrix[:, 2] += (x * side - 0.5 - centre, y * side - 0.5 - centre)
    result: Pixels = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return result


def composite(placed: Pixels, ground: Pixels) -> Pixels:
    """Premultiplied RGBA `placed` over RGB `ground`."""
    behind = cv2.merge([255 - placed[..., 3]] * 3)
    result: Pixels = cv2.add(cv2.multiply(ground, behind, scale=1 / 255), np.ascontiguousarray(placed[..., :3]))
    return result
