"""Structure alone: stripes are told from a blank, whatever colour, size and ground they have."""

import numpy as np
import pytest

from blipdiff.data.composites import composite
from blipdiff.evaluation.inner_structure import InnerStructureMetric, structure_share
from blipdiff.evaluation.views import FRAME, SubjectView


def subject(stripes, colour=(200, 60, 60)):
    """A square whose inside has stripes along an axis: 0 or 1, None for none."""
    picture = np.zeros((FRAME, FRAME, 4), np.uint8)
    picture[8:120, 8:120] = (*colour, 255)
    if stripes is not None:
        picture[24:104, 24:104][(np.indices((80, 80))[stripes] // 10) % 2 == 0, :3] = 255
    return SubjectView.of_cut_out(picture)


def shown(view, scale=0.75, ground=128):
    return composite(view.placed(scale), np.full((FRAME, FRAME, 3), ground, np.uint8))


@pytest.mark.parametrize("scale", [0.6, 0.75, 0.9])
@pytest.mark.parametrize("ground", [0, 128, 255])
def test_the_right_stripes_are_found_at_any_size_and_on_any_ground(scale, ground):
    views = [subject(0), subject(1), subject(None)]
    scores = InnerStructureMetric().compare(shown(views[0], scale, ground), views)
    assert int(scores.argmax()) == 0
    assert scores[0] > scores[1] + 0.3


def test_colour_says_nothing():
    judge, views = InnerStructureMetric(), [subject(0), subject(1)]
    other = judge.compare(shown(subject(0, (60, 60, 200))), views)
    assert int(other.argmax()) == 0


def test_a_subject_without_any_structure_is_seen_nowhere():
    (blank,) = InnerStructureMetric().compare(shown(subject(0)), [subject(None)])
    assert abs(blank) < 0.05


def test_the_share_is_1_for_true_composites_and_0_for_what_is_as_wrong_as_others():
    true, wrong = [0.8, 0.6], [0.3, 0.1]
    assert structure_share(true, wrong, true).value == pytest.approx(1)
    assert structure_share(wrong, wrong, true).value == pytest.approx(0)
    assert structure_share([0.55, 0.35], wrong, true).value == pytest.approx(0.5)
