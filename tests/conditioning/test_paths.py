import pytest

from blipdiff.conditioning.paths import even_positions, map_shares, path_shares, positions_between, square_shares
from blipdiff.errors import ConfigError


def test_whole_positions_are_one_subject_alone():
    assert [path_shares(float(place), 3) for place in range(3)] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert path_shares(1.25, 3) == (0, 0.75, 0.25)


def test_positions_behind_the_ends_leave_the_span_of_shares():
    assert path_shares(-0.5, 2) == (1.5, -0.5)
    assert path_shares(2.5, 3) == (0, -0.5, 1.5)


def test_even_positions_hold_both_ends_exactly():
    assert even_positions(5, 2) == (0, 0.25, 0.5, 0.75, 1)
    assert even_positions(3, 3, 0.5) == (-0.5, 1, 2.5)
    assert str(even_positions(2, 2)[0]) == "0.0"
    with pytest.raises(ConfigError, match="start at 2"):
        even_positions(1, 2)


def test_new_positions_go_where_neighbours_differ_most():
    found = positions_between([0.0, 0.5, 1.0], [0.9, 0.1], 2)
    assert found == pytest.approx([1 / 6, 2 / 6])
    assert positions_between([0.0, 0.5, 1.0], [0.9, 0.5], 3) == pytest.approx([1 / 6, 2 / 6, 0.75])
    assert positions_between([0.0, 0.2, 1.0], [0.0, 0.0], 1) == [pytest.approx(0.6)]  # equal pictures: the wider gap
    assert positions_between([0.0, 1.0], [0.3], 0) == []


@pytest.mark.parametrize("subjects", [3, 4])
def test_a_map_has_its_subjects_alone_at_the_corners(subjects: int):
    rows = map_shares(subjects, 4)
    corners = [rows[0][0], rows[-1][0], rows[-1][-1]] if subjects == 3 else [
        rows[0][0], rows[0][-1], rows[-1][0], rows[-1][-1],
    ]  # fmt: skip
    assert corners == [tuple(float(place == corner) for place in range(subjects)) for corner in range(subjects)]
    assert sum(len(row) for row in rows) == (10 if subjects == 3 else 16)
    assert all(sum(shares) == pytest.approx(1) and min(shares) >= 0 for row in rows for shares in row)


def test_a_map_of_two_subjects_or_one_picture_is_refused():
    for subjects, side in ((2, 3), (3, 1)):
        with pytest.raises(ConfigError, match="3 or 4"):
            map_shares(subjects, side)


def test_the_middle_of_a_square_hears_all_alike():
    assert square_shares(0.5, 0.5) == (0.25, 0.25, 0.25, 0.25)
