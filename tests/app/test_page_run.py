"""Runs as the page sees them: views, files, stopping, and the line of orders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.ui.orders import Order, Orders
from app.ui.views import View, views
from blipdiff.errors import OutputError
from pipelines.job import Job
from pipelines.metadata import read_metadata
from pipelines.studio import Studio
from tests.support.studios import job
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture
def calls(studio: Studio) -> Iterator[list[int]]:
    """One entry for every call of the U-Net."""
    found: list[int] = []
    unet: Any = studio.model.unet
    hook = unet.register_forward_hook(lambda *_: found.append(1))
    yield found
    hook.remove()


def asked(**changes: Any) -> Job:
    return job(**{"steps": 4, "count": 3, "seed": 7} | changes)


def seen(studio: Studio, folder: Path, job: Job, **how: Any) -> list[View]:
    return list(views(studio, job, folder, **how))


def saved(view: View) -> list[tuple[str, int]]:
    return [(one.paths["path"].name, one.result.picture.seed) for one in view.finished]


def test_a_run_shows_previews_and_ends_with_its_pictures_on_disk(studio: Studio, tmp_path: Path) -> None:
    found = seen(studio, tmp_path / "new", asked(batch=2))
    assert found[0].step == 0
    assert found[0].seeds == (7, 8)
    steps = [view.step for view in found]
    assert steps == sorted(steps)
    assert {view.steps for view in found[1:]} == {8}
    assert next((view.seeds, len(view.previews)) for view in found if view.previews) == ((7, 8), 2)
    assert saved(found[-1]) == [(f"dog-{seed}.png", seed) for seed in (7, 8, 9)]
    for one in found[-1].finished:
        assert read_metadata(one.paths["path"])["seed"] == one.result.picture.seed


def test_stopping_ends_a_run_at_its_step_and_keeps_what_is_finished(
    studio: Studio, calls: list[int], tmp_path: Path
) -> None:
    found = seen(studio, tmp_path, asked(steps=50, batch=1), is_stopped=lambda: len(calls) >= 53)
    assert len(calls) == 53
    assert (found[-1].was_stopped, found[-1].step, found[-1].steps) == (True, 53, 150)
    assert saved(found[-1]) == [("dog-7.png", 7)]
    assert seen(studio, tmp_path, asked(count=1))[-1].finished  # the model is free again


def test_a_view_that_nobody_waits_for_frees_the_model(studio: Studio, calls: list[int], tmp_path: Path) -> None:
    run = views(studio, asked(steps=50), tmp_path)
    while next(run).step == 0:
        pass
    run.close()
    assert len(calls) < 50
    assert seen(studio, tmp_path, asked(count=1))[-1].finished


def test_the_seconds_left_come_from_the_steps_so_far_without_the_first(studio: Studio, tmp_path: Path) -> None:
    ticks = iter(range(1000))
    found = seen(studio, tmp_path, asked(steps=5, count=1), clock=lambda: float(next(ticks)))
    drawn = {view.step: view.seconds_left for view in found if view.step and not view.finished}
    assert drawn[1] is None
    assert drawn[5] == 0
    assert drawn[2] == 3 * drawn[4]  # two ticks a step: six seconds left, then two


def test_what_was_left_out_of_a_long_prompt_is_told(studio: Studio, tmp_path: Path) -> None:
    found = seen(studio, tmp_path, asked(prompt="beach " * 60, count=1, steps=2))
    assert "longer than the model can read" in next(view.notices for view in found if view.notices)[0]


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_drawn(
    studio: Studio, calls: list[int], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        seen(studio, tmp_path / "file" / "folder", asked())
    assert calls == []


def test_a_visit_has_one_order_at_a_time_and_calls_off_its_own() -> None:
    orders, order = Orders(), Order(asked())
    assert orders.place("one", order)
    assert not orders.place("one", Order(asked()))
    assert orders.place("two", Order(asked()))
    assert orders.begin("one") is order
    assert not orders.place("one", Order(asked()))
    assert orders.call_off("one") == "drawing"
    assert order.called_off.is_set()
    orders.end("one")
    assert orders.call_off("one") == "none"
    assert orders.call_off("two") == "waiting"
    assert orders.begin("two") is None
    assert orders.place("one", Order(asked()))


def test_an_order_is_drawn_on_the_tab_that_it_was_placed_on() -> None:
    orders, order = Orders(), Order(asked(), "edit")
    assert orders.place("one", order)
    assert not orders.place("one", Order(asked(), "blend"))
    assert orders.begin("one", "blend") is None
    assert orders.begin("one", "edit") is order


def test_closing_calls_off_every_order_and_waits_for_the_one_being_drawn() -> None:
    orders, first, second = Orders(), Order(asked()), Order(asked())
    orders.place("one", first)
    orders.begin("one")
    orders.place("two", second)
    assert not orders.close(0.01)
    assert first.called_off.is_set()
    assert orders.begin("two") is None
    assert not orders.place("three", Order(asked()))
    orders.end("one")
    assert orders.close(0.01)
