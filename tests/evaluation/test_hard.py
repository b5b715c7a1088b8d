"""Hard choices: whom they put beside the right subject."""

import numpy as np

from blipdiff.data import PairLibrary
from blipdiff.evaluation.ensemble import Ensemble, unrelated_pictures
from blipdiff.evaluation.hard import hard_choice
from blipdiff.evaluation.protocols import draw_trials, subject_views
from blipdiff.evaluation.similarity import metric_named


def test_a_hard_choice_has_the_right_subject_its_twins_and_the_most_alike(library: PairLibrary) -> None:
    ensemble = Ensemble([metric_named("colour and shape")], unrelated_pictures(library, 4))
    (trial,) = draw_trials(library, "source", subjects=1, pictures=1, choices=3)
    asked = hard_choice(library, trial.pair.subject, ensemble, choices=5)
    (own,) = subject_views(library, [trial.pair.subject])
    assert np.array_equal(asked.views[asked.right].cut_out, own.cut_out)
    assert 3 <= len(asked.views) <= 5
    twins = [view for view in asked.views if view.name.endswith("in other colours")]
    assert len(twins) == 2
    for twin in twins:
        assert np.array_equal(twin.cut_out[..., 3] > 128, own.cut_out[..., 3] > 128)
        assert not np.array_equal(twin.cut_out, own.cut_out)
    again = hard_choice(library, trial.pair.subject, ensemble, choices=5)
    assert [view.name for view in again.views] == [view.name for view in asked.views] and again.right == asked.right
