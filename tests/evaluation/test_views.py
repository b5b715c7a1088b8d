"""A subject is found on any plain ground, and fills its frame whatever it came from."""

import cv2
import numpy as np
import pytest

from blipdiff.errors import ImageError, ShapeError
from blipdiff.evaluation import SubjectView


def ring(ground: tuple[int, int, int]) -> np.ndarray:
    """A red ring with a middle in the ground's colour."""
    photo = np.full((100, 140, 3), ground, np.uint8)
    cv2.circle(photo, (60, 50), 40, (200, 30, 30), -1)
    cv2.circle(photo, (60, 50), 12, ground, -1)
    return photo


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 60, 140), (90, 200, 90)])
def test_the_plain_ground_is_cut_away_and_an_inner_patch_of_its_colour_kept(ground: tuple[int, int, int]) -> None:
    alpha = SubjectView.of_photo(ring(ground)).cut_out[..., 3]
    assert alpha.shape == (128, 128)
    assert alpha[64, 64] == 255
    assert alpha[:8].max() == alpha[:, :8].max() == 0
    assert 0.95 < (alpha > 128).sum() / (np.pi * 56**2) < 1.05


def test_photo_and_exact_mask_give_the_same_view() -> None:
    photo = ring((255, 255, 255))
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.circle(mask, (60, 50), 40, 255, -1)
    exact = SubjectView.of_cut_out(np.dstack([photo, mask])).cut_out
    found = SubjectView.of_photo(photo).cut_out
    assert np.abs(exact.astype(int) - found.astype(int)).mean() < 2


def test_what_shows_no_subject_is_refused() -> None:
    with pytest.raises(ImageError, match="stands out"):
        SubjectView.of_photo(np.full((64, 64, 3), 200, np.uint8))
    with pytest.raises(ShapeError, match="RGBA"):
        SubjectView.of_cut_out(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ShapeError, match="RGB"):
        SubjectView.of_photo(np.zeros((8, 8), np.uint8))
