"""A tiny U-Net of one's own for each test, random words, and one call of the U-Net."""

import copy

import pytest
import torch

from blipdiff.attention.taps import TapCall, tapped
from blipdiff.latents import noise
from blipdiff.moment import Moment

NOW = Moment(0, 10, torch.tensor(501))


class Recorder:
    """A tap that notes what it saw, and wants the layers that `choose` chooses."""

    def __init__(self, choose=lambda site, queries: True, change=lambda probs: probs):
        self.choose, self.change, self.seen = choose, change, []

    def wants(self, site, moment, queries):
        return self.choose(site, queries)

    def __call__(self, probs, site, moment):
        self.seen.append((site, moment, probs))
        return self.change(probs)


@pytest.fixture
def unet(tiny_unet):
    return copy.deepcopy(tiny_unet)


@pytest.fixture
def call():
    """call(unet, taps, size, rows): the prediction of one tapped call; without taps, of a plain one."""

    def run(unet, taps=None, size=(8, 8), rows=2, first=0, moment=NOW):
        latents = noise(list(range(rows)), (4, *size))
        words = torch.randn(rows, 77, 32, generator=torch.Generator().manual_seed(5))
        kwargs = {} if taps is None else {"cross_attention_kwargs": {"tap_call": TapCall(tuple(taps), moment, first)}}
        with torch.no_grad():
            if taps is None:
                return unet(latents, moment.timestep, words).sample
            with tapped(unet):
                return unet(latents, moment.timestep, words, **kwargs).sample

    return run


@pytest.fixture
def recorder():
    return Recorder
