import pytest

from blipdiff.errors import ShapeError
from blipdiff.evaluation.blending import is_monotone, spearman


def test_a_path_is_monotone_when_it_never_goes_back_further_than_the_slack():
    assert is_monotone([0, 1, 1, 3])
    assert not is_monotone([0, 2, 1.8, 3])
    assert is_monotone([0, 2, 1.8, 3], slack=0.1)
    assert not is_monotone([0, 2, 1.5, 3], slack=0.1)


def test_spearmans_correlation_is_of_ranks_and_knows_ties():
    assert spearman([1, 10, 100, 1000]) == pytest.approx(1)
    assert spearman([3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 1, 2]) == pytest.approx(0.866, abs=1e-3)
    assert spearman([5, 5, 5]) == 0
    with pytest.raises(ShapeError):
        spearman([1])
