"""A model that is fetched beside the jobs: told, stopped, gone on with; one at a time."""

import time
from collections.abc import Callable

from app.jobs.fetching import Fetching
from blipdiff.checkpoints.inventory import offered
from tests.support.stand_in_hub import NAME, UNET, StandInHub

pytest_plugins = ["tests.support.hub_fixtures"]


def until(found: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def test_a_fetching_is_told_stopped_and_goes_on(hub: StandInHub) -> None:
    done: list[str] = []
    fetching = Fetching(done.append)
    assert fetching.seen.state == "none"
    fetching.stop()
    assert fetching.seen.state == "none"
    hub.held_at = {UNET: 8192}
    assert fetching.begin(NAME)
    assert not fetching.begin(NAME)
    until(lambda: any(name == UNET for name, _ in hub.fetched))
    until(lambda: fetching.seen.there > 0)
    fetching.stop()
    assert fetching.seen.state == "stopping"
    hub.go.set()
    until(lambda: not fetching.seen.is_going)
    assert (fetching.seen.state, done) == ("stopped", [])
    rest = offered(NAME)
    assert 0 < rest.missing < rest.size
    assert fetching.begin(NAME)
    until(lambda: not fetching.seen.is_going)
    assert (fetching.seen.state, done) == ("done", [NAME])
    assert fetching.seen.there == fetching.seen.size > 0
    assert offered(NAME).missing == 0


def test_what_cannot_be_fetched_is_told(hub: StandInHub) -> None:
    hub.broken = True
    fetching = Fetching()
    fetching.begin(NAME)
    until(lambda: not fetching.seen.is_going)
    assert fetching.seen.state == "failed"
    assert "out of reach" in fetching.seen.trouble
