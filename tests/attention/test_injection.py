"""The subject through some layers only: what is the same, what changes, and which layers are asked."""

import pytest
import torch

from blipdiff.attention.injection import Injection
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.errors import ConfigError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window

NOW = Moment(0, 10, torch.tensor(501))
OWN, WORDS = (torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(seed)) for seed in (5, 6))


def predicted(unet, injection=None, context=OWN, first=0):
    rows = context.shape[0]
    kwargs = {} if injection is None else {"tap_call": TapCall((), NOW, first, injection)}
    with torch.no_grad(), tapped(unet):
        return unet(noise(list(range(rows)), (4, 8, 8)), 501, context, cross_attention_kwargs=dict(kwargs)).sample


def test_the_whole_subject_is_bit_equal_to_no_injection(unet):
    assert torch.equal(predicted(unet, Injection(WORDS)), predicted(unet))


def test_no_subject_is_bit_equal_to_words_alone(unet):
    assert torch.equal(predicted(unet, Injection(WORDS, strength=0.0)), predicted(unet, context=WORDS))
    assert torch.equal(predicted(unet, Injection(WORDS, window=Window(0.5, 1.0))), predicted(unet, context=WORDS))


def test_half_a_subject_lies_between(unet):
    full, none = predicted(unet), predicted(unet, context=WORDS)
    half = predicted(unet, Injection(WORDS, strength=0.5))
    assert (half - full).norm() < (none - full).norm() and (half - none).norm() < (none - full).norm()


def test_look_and_layout_are_apart_and_neither_is_all(unet):
    found = [predicted(unet, Injection(WORDS, blocks=blocks)) for blocks in ("all", "look", "layout")]
    assert not any(torch.equal(one, other) for one, other in zip(found, [*found[1:], found[0]], strict=True))


def test_unconditional_rows_keep_their_own_words(unet):
    context = torch.cat([OWN[:1], OWN])  # one unconditional row before two conditional ones
    injected = predicted(unet, Injection(WORDS, strength=0.0), context, first=1)
    assert torch.equal(injected, predicted(unet, context=torch.cat([OWN[:1], WORDS])))


@pytest.mark.parametrize(
    ("blocks", "place", "share"), [("look", "up", 0.7), ("look", "mid", 0), ("layout", "mid", 0.7)]
)
def test_each_place_has_its_share(blocks, place, share):
    injection = Injection(WORDS, 0.7, blocks=blocks)
    assert injection.share(AttentionSite("x", place, "cross"), NOW) == share
    assert injection.share(AttentionSite("x", place, "self"), NOW) == 1


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"strength": float("nan")}, {"blocks": "edges"}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError):
        Injection(WORDS, **wrong)
