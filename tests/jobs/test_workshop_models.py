"""Models of a workshop: they come and go, by name, as far as memory reaches."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.jobs.models import Models, weights
from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import Workshop
from blipdiff.errors import ConfigError
from pipelines.studio import Studio
from tests.support.studios import job
from tests.support.tiny_models import tiny_model
from tests.support.workshops import pixels, tiny_studio, workshop


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


def test_models_come_and_go_while_the_workshop_runs(running: Workshop) -> None:
    with pytest.raises(ConfigError, match="no model 'third'"):
        running.submit(job(seed=1), Sender(), Asked(model="third"))
    running.offer("third")
    done = running.wait(running.submit(job(seed=1), Sender(), Asked(model="third")).id)
    assert done.state == "done"
    assert "third" in running.models.loaded
    running.withdraw("third")
    assert running.models.names == ("tiny", "other")
    assert "third" not in running.models.loaded
    with pytest.raises(ConfigError, match="no model 'third'"):
        running.submit(job(seed=1), Sender(), Asked(model="third"))
    with pytest.raises(ConfigError, match="tiny draws where nobody says which"):
        running.withdraw("tiny")


def test_a_model_that_will_hardly_fit_is_told_of_as_it_is_opened(tmp_path: Path) -> None:
    asked_of: list[tuple[str, str]] = []

    def shortage(name: str, device: str) -> str | None:
        asked_of.append((name, device))
        return f"{name} is large." if name == "other" else None

    with workshop(tmp_path, shortage=shortage) as made:
        notices = [
            made.wait(made.submit(job(seed=1), Sender(), Asked(model=name)).id).notices
            for name in ("tiny", "other", "other")
        ]
    assert notices == [(), ("other is large.",), ()]
    assert asked_of == [("tiny", "auto"), ("other", "auto")]


def test_the_least_recently_used_model_goes_when_memory_is_short() -> None:
    opened: list[str] = []

    def open_one(name: str) -> Studio:
        opened.append(name)
        return Studio(tiny_model())

    size = weights(tiny_studio())
    models = Models(("a", "b", "c"), open_one, most=2 * size)
    for name in ("a", "b", "a", "c", "a", "b"):
        models.get(name)
    assert opened == ["a", "b", "c", "b"]
    assert list(models.loaded) == ["a", "b"]
    with pytest.raises(ConfigError, match="there are: a, b, c"):
        models.get("../../etc")


def test_jobs_are_drawn_by_the_model_that_they_name(running: Workshop) -> None:
    names = [running.submit(job(), Sender(), Asked(model)).id for model in ("", "other", "tiny")]
    assert [running.wait(name, 30).state for name in names] == ["done"] * 3
    one, other, same = (pixels(running, name)[0] for name in names)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    with pytest.raises(ConfigError, match="There is no model"):
        running.submit(job(), Sender(), Asked("/etc/passwd"))
