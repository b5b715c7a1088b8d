import pytest
import torch

from blipdiff.errors import ConfigError
from blipdiff.moment import Moment, Window


def moments(count: int) -> list[Moment]:
    return [Moment(index, count, torch.tensor(0)) for index in range(count)]


def held(window: Window, count: int) -> list[int]:
    return [moment.index for moment in moments(count) if window.holds(moment)]


def test_progress_starts_at_zero_and_stays_below_one():
    assert moments(11)[0].progress == 0
    assert moments(11)[-1].progress < 1


def test_the_whole_run_lies_in_the_default_window():
    assert held(Window(), 7) == list(range(7))


@pytest.mark.parametrize("count", [1, 2, 10, 11, 21, 50, 51, 1000])
@pytest.mark.parametrize("cut", [0.0, 0.29, 0.3, 0.5, 0.7, 0.8, 0.999, 1.0])
def test_two_windows_that_meet_share_the_run_between_them(count, cut):
    assert held(Window(0, cut), count) + held(Window(cut, 1), count) == list(range(count))


@pytest.mark.parametrize("count", [5, 6, 10, 11, 50, 51])
@pytest.mark.parametrize("stop", [0.0, 0.25, 0.4, 0.5, 0.8, 1.0])
def test_a_window_stops_where_prompt_to_prompt_and_diffusers_stop(count, stop):
    assert held(Window(0, stop), count) == [k for k in range(count) if k < int(stop * count)]
    assert held(Window(0, stop), count) == [k for k in range(count) if not (k + 1) / count > stop]


def test_a_fraction_that_floats_cannot_write_counts_as_written():
    assert len(held(Window(0, 0.29), 100)) == 29


def test_a_window_of_no_length_holds_nothing():
    assert held(Window(0.5, 0.5), 10) == []


@pytest.mark.parametrize(
    "bounds", [(0.6, 0.4), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0), (0.0, float("nan")), (0.0, float("inf"))]
)
def test_a_window_outside_the_run_is_refused(bounds):
    with pytest.raises(ConfigError, match="0 <= start <= stop <= 1"):
        Window(*bounds)
