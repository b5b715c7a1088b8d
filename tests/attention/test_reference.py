"""Reference attention: identities, what is kept, where and by whom it is read, and what is left as it was."""

import pytest
import torch

from blipdiff.attention.reference import (
    Read,
    Reference,
    ReferenceAttention,
    ReferenceMap,
    ReferenceRows,
    ReferenceStates,
)
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.checkpoints.configs import PNDM
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment, Window
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.plan import SamplingPlan, execute

NOW = Moment(0, 10, torch.tensor(501))
SIGNAL = torch.linspace(1, 0, 1000)


def words(rows=1):
    return torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(5)).expand(rows, -1, -1)


def reference(mask=None, size=(8, 8)):
    clean, other = noise([1, 2], (4, *size)).split(1)
    return Reference(clean, other, torch.ones(size) if mask is None else mask, words())


def left_half(size=(8, 8)):
    mask = torch.zeros(size)
    mask[:, : size[1] // 2] = 1
    return mask


def states_of(unet, given=None, **more):
    return ReferenceStates(unet, given or reference(), dtype=torch.float32, **more)


def called(unet, latents, source=None, *, first=0, taps=()):
    told = None if source is None else {"tap_call": TapCall(tuple(taps), NOW, first, more_keys=source)}
    with torch.no_grad(), tapped(unet):
        return unet(latents, NOW.timestep, words(len(latents)), cross_attention_kwargs=told).sample


def reading(*reads, detail=0.5, size=(8, 8), **more):
    return ReferenceAttention(reads, detail, SIGNAL, size, **more)


def test_the_pictures_own_states_weighed_as_one_change_nothing_but_rounding(unet):
    given = reference()
    latents = given.noised(float(SIGNAL[501]))
    plain = called(unet, latents)
    assert torch.allclose(called(unet, latents, reading(Read(states_of(unet, given)))), plain, atol=1e-5)
    other = called(unet, noise([7], (4, 8, 8)), reading(Read(states_of(unet, given))))
    assert not torch.allclose(other, called(unet, noise([7], (4, 8, 8))), atol=1e-3)


def test_more_detail_goes_further_from_the_plain_picture(unet):
    latents = noise([7], (4, 8, 8))
    kept, plain = states_of(unet), called(unet, latents)
    away = [float((called(unet, latents, reading(Read(kept), detail=one)) - plain).norm()) for one in (0.1, 0.5, 0.9)]
    assert away == sorted(away) and away[0] > 0


def test_only_what_lies_inside_the_mask_is_kept(unet):
    whole, half = states_of(unet), states_of(unet, reference(left_half()))
    assert 0.45 * whole.moment_bytes < half.moment_bytes < 0.55 * whole.moment_bytes


def test_a_mask_too_thin_for_a_coarse_layer_keeps_its_fullest_position(unet):
    thin = torch.zeros(8, 8)
    thin[3, 3] = 1
    latents = noise([7], (4, 8, 8))
    found = called(unet, latents, reading(Read(states_of(unet, reference(thin)))))
    assert torch.isfinite(found).all() and not torch.equal(found, called(unet, latents))


def test_a_row_of_weight_0_reads_nothing_and_unconditional_rows_never(unet):
    latents = noise([7, 8, 9], (4, 8, 8))
    plain = called(unet, latents)
    source = reading(Read(states_of(unet), torch.tensor([0.0, 1.0])))
    found = called(unet, latents, source, first=1)
    assert torch.allclose(found[:2], plain[:2], atol=1e-5)
    assert not torch.allclose(found[2], plain[2], atol=1e-3)
    nobody = reading(Read(states_of(unet), torch.zeros(2)))
    assert torch.equal(called(unet, latents, nobody, first=1), plain)


def test_two_references_of_half_the_weight_are_one_that_is_given_twice(unet):
    latents, kept = noise([7], (4, 8, 8)), states_of(unet)
    twice = called(unet, latents, reading(Read(kept, 0.5), Read(kept, 0.5)))
    assert torch.allclose(twice, called(unet, latents, reading(Read(kept))), atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (16, 8)])
def test_a_reference_is_read_only_where_it_may_be(unet, size):
    latents, kept = noise([7], (4, *size)), states_of(unet)
    nowhere = reading(Read(kept, where=torch.zeros(1, *size)), size=size)
    assert torch.allclose(called(unet, latents, nowhere), called(unet, latents), atol=1e-5)
    everywhere = called(unet, latents, reading(Read(kept, where=torch.ones(1, *size)), size=size))
    assert torch.allclose(everywhere, called(unet, latents, reading(Read(kept), size=size)), atol=1e-5)
    unknown = reading(Read(kept, where=lambda moment: None), size=size)
    assert torch.equal(called(unet, latents, unknown), called(unet, latents))


def test_rows_may_each_read_their_own(unet):
    latents = noise([7, 8, 9], (4, 8, 8))
    whole, half = reading(Read(states_of(unet))), reading(Read(states_of(unet, reference(left_half()))), detail=0.8)
    together = called(unet, latents, ReferenceRows((whole, None, half)))
    alone = [called(unet, latents[row : row + 1], one) for row, one in enumerate((whole, None, half))]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert torch.equal(called(unet, latents, ReferenceRows((None,) * 3)), called(unet, latents))


def test_a_map_shows_where_it_was_read(unet):
    shown, kept = ReferenceMap((8, 8), 3), states_of(unet)
    assert shown.mean() is None
    source = reading(Read(kept, where=left_half()[None]))
    called(unet, noise([7], (4, 8, 8)), source, taps=(shown,))
    seen = shown.mean()
    assert seen is not None and seen.shape[0] == 1
    across = seen[0].mean(0)
    assert across[0] > 0 and across[-1] < 0.5 * across[0]


def test_outside_its_window_and_in_other_layers_nothing_is_read(unet):
    latents, plain = noise([7], (4, 8, 8)), called(unet, noise([7], (4, 8, 8)))
    kept = states_of(unet)
    assert torch.equal(called(unet, latents, reading(Read(kept), window=Window(0.5, 1.0))), plain)
    assert kept.calls == 0
    up, down = (called(unet, latents, reading(Read(states_of(unet, blocks=(one,))))) for one in ("up", "down"))
    assert not torch.equal(up, plain) and not torch.equal(up, down)


@pytest.fixture
def run(unet):
    """run(source): the plan of three guided steps of two rows."""

    def plan(source, scheduler="ddim"):
        both = torch.randn(2, 2, 77, 32, generator=torch.Generator().manual_seed(3))
        positive, negative = (Conditioning(one, (TokenLayout(("x</w>",) * 77),) * 2) for one in both)
        built = build_scheduler(scheduler, PNDM)
        set_timesteps(built, 3, "cpu")
        guidance = Guidance.even(positive, negative, 5.0)
        return SamplingPlan(guidance, noise([1, 2], (4, 8, 8)), built, more_keys=source)

    return plan


@pytest.mark.parametrize("scheduler", ["ddim", "unipc", "euler"])
def test_states_that_are_kept_and_those_that_are_not_give_the_same_picture(unet, run, scheduler):
    ends, calls = [], []
    for most in (2**20, 0):
        kept = ReferenceStates(unet, reference(), most_bytes=most)
        source = reading(Read(kept), detail=0.7)
        assert kept.keeps(3) == (most > 0)
        for _ in range(2):
            *_, last = execute(unet, run(source, scheduler))
            ends.append(last.latents)
        calls.append(kept.calls)
    assert all(torch.equal(one, ends[0]) for one in ends[1:])
    assert calls == [3, 6]


def test_the_unet_is_as_it_was_after_a_stop_and_after_an_error(unet, run):
    before = list(unet.attn_processors.values())

    def is_as_before():
        return all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))

    steps = execute(unet, run(reading(Read(states_of(unet)))))
    next(steps)
    assert is_as_before()
    steps.close()
    assert is_as_before()
    wrong = reading(Read(states_of(unet), where=torch.ones(1, 8, 8)), size=(6, 6))
    with pytest.raises(ShapeError, match=r"latents of \(6, 6\) have at no level"):
        list(execute(unet, run(wrong)))
    assert is_as_before()


def test_what_is_no_reference_is_named(unet):
    clean = torch.zeros(1, 4, 8, 8)
    with pytest.raises(ShapeError, match="its noise"):
        Reference(clean, clean[:, :2], torch.ones(8, 8), words())
    with pytest.raises(ShapeError, match="The mask is"):
        Reference(clean, clean, torch.ones(4, 8), words())
    with pytest.raises(ConfigError, match="mask is empty"):
        Reference(clean, clean, torch.zeros(8, 8), words())
    for detail in (0.0, 1.5):
        with pytest.raises(ConfigError, match="above 0 and up to 1"):
            reading(detail=detail)
