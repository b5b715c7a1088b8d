"""A run is stopped inside a step, by whoever waits for it, and by nobody else."""

import pytest
import torch

from blipdiff.sampling.stopping import Stopped, interruptible, until_stopped
from pipelines.studio import Studio
from pipelines.task import Progress
from tests.support.studios import run, state
from tests.support.tiny_models import tiny_model


def test_a_run_stops_between_blocks_and_leaves_the_model_as_it_was() -> None:
    studio = Studio(tiny_model())
    before, blocks = state(studio.model), []
    hook = studio.model.unet.up_blocks[0].register_forward_pre_hook(lambda *_: blocks.append(1))
    stopped = False
    events = run(studio, count=1, steps=8)

    def is_stopped() -> bool:
        return stopped

    seen = []
    for event in until_stopped(events, is_stopped):
        if isinstance(event, Progress):
            seen.append(event.step)
            blocks.clear()
            stopped = event.step == 2
    hook.remove()
    assert seen == [1, 2]
    assert blocks == [], "the third call ended before its last blocks"
    assert state(studio.model) == before
    assert [event for event in run(studio, count=1, steps=2) if isinstance(event, Progress)], "another run goes on"


def test_a_run_that_nobody_stops_gets_no_hooks() -> None:
    unet = tiny_model().unet
    with interruptible(unet):
        assert not any(module._forward_pre_hooks for module in unet.modules())
    assert list(until_stopped(iter([1, 2]), lambda: False)) == [1, 2]


def test_what_goes_wrong_in_a_run_goes_on() -> None:
    def failing():
        yield 1
        raise ValueError("damage")

    with pytest.raises(ValueError, match="damage"):
        list(until_stopped(failing(), lambda: False))


def test_stopping_is_seen_within_the_network_alone() -> None:
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())

    def steps():
        with interruptible(net):
            net(torch.zeros(1))
        yield "done"

    assert list(until_stopped(steps(), lambda: True)) == []
    assert list(until_stopped(steps(), lambda: False)) == ["done"]
    assert issubclass(Stopped, Exception)
