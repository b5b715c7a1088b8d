"""Self-attention that reads more than its own places: identities, kernels, rows, taps, and what is refused."""

import copy

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor

from blipdiff.attention import processor
from blipdiff.attention.context import MoreKeys
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.checkpoints.configs import PNDM
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.plan import SamplingPlan, execute

NOW = Moment(0, 10, torch.tensor(501))


class Source:
    """Gives what `make` makes of a layer's own states, and notes which layers asked."""

    def __init__(self, make):
        self.make, self.seen = make, []

    def more(self, states, site, moment):
        self.seen.append((site, moment, tuple(states.shape)))
        return self.make(states)


def called(unet, source=None, *, rows=2, first=0, taps=(), dtype=torch.float32):
    """The prediction of one call; the U-Net's processors are the same objects after it."""
    latents = noise(list(range(rows)), (4, 8, 8)).to(dtype)
    words = torch.randn(rows, 77, 32, generator=torch.Generator().manual_seed(5)).to(dtype)
    told = {} if source is None else {"tap_call": TapCall(tuple(taps), NOW, first, more_keys=source)}
    before = list(unet.attn_processors.values())
    with torch.no_grad(), tapped(unet):
        found = unet(latents, NOW.timestep, words, cross_attention_kwargs=told or None).sample
    assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))
    return found


def others(states):
    return torch.randn(states.shape[0], 5, states.shape[2], generator=torch.Generator().manual_seed(1)).to(states)


def bias_of(states, value):
    return torch.full((1, 1, 1, states.shape[1]), value)


@pytest.fixture
def guided_run():
    """guided_run(source): the plan of three guided steps of two rows."""

    def plan(source):
        words = torch.randn(2, 2, 77, 32, generator=torch.Generator().manual_seed(3))
        positive, negative = (Conditioning(one, (TokenLayout(("x</w>",) * 77),) * 2) for one in words)
        scheduler = build_scheduler("ddim", PNDM)
        set_timesteps(scheduler, 3, "cpu")
        return SamplingPlan(
            Guidance.even(positive, negative, 5.0), noise([1, 2], (4, 8, 8)), scheduler, more_keys=source
        )

    return plan


def test_where_a_source_gives_nothing_the_call_is_the_plain_one_bit_for_bit(unet, call):
    nothing = Source(lambda states: None)
    assert torch.equal(called(unet, nothing), call(unet))
    assert {site.kind for site, _, _ in nothing.seen} == {"self"}
    assert len(nothing.seen) == sum(name.endswith("attn1.processor") for name in unet.attn_processors)
    assert all(moment is NOW for _, moment, _ in nothing.seen)


@pytest.mark.parametrize("bias", [None, 0.0])
def test_keys_that_are_there_twice_change_nothing_but_rounding(unet, bias):
    def twice(states):
        return MoreKeys(states, None if bias is None else bias_of(states, bias))

    assert torch.allclose(called(unet, Source(twice)), called(unet), atol=1e-5)


def test_a_bias_of_minus_infinity_leaves_keys_out(unet):
    def hidden(states):
        return MoreKeys(others(states), torch.full((1, 1, 1, 5), -torch.inf))

    assert torch.allclose(called(unet, Source(hidden)), called(unet), atol=1e-5)


def test_a_bias_of_log_two_counts_a_key_twice(unet):
    def biased(states):
        return MoreKeys(others(states), torch.full((states.shape[0], 1, 1, 5), 2.0).log())

    def repeated(states):
        return MoreKeys(torch.cat([others(states)] * 2, dim=1))

    twice = called(unet, Source(repeated))
    assert torch.allclose(called(unet, Source(biased)), twice, atol=1e-5)
    assert not torch.allclose(twice, called(unet), atol=1e-3)


def test_the_order_of_keys_does_not_matter(unet):
    given = called(unet, Source(lambda states: MoreKeys(others(states))))
    turned = called(unet, Source(lambda states: MoreKeys(others(states).flip(1))))
    assert torch.allclose(given, turned, atol=1e-5)


def test_each_row_reads_its_own(unet):
    def of_the_second_row(states):
        bias = torch.zeros(states.shape[0], 1, 1, 5)
        bias[0] = -torch.inf
        return MoreKeys(others(states), bias)

    plain, given = called(unet), called(unet, Source(of_the_second_row))
    both = called(unet, Source(lambda states: MoreKeys(others(states))))
    assert torch.allclose(given[0], plain[0], atol=1e-5)
    assert torch.allclose(given[1], both[1], atol=1e-5)


@pytest.mark.parametrize("taken", [False, True], ids=["untapped", "tapped"])
def test_unconditional_rows_read_no_more(unet, recorder, taken):
    source = Source(lambda states: MoreKeys(others(states)))
    taps = (recorder(),) if taken else ()
    plain, given = called(unet, rows=3), called(unet, source, rows=3, first=1, taps=taps)
    assert {shape[0] for _, _, shape in source.seen} == {2}
    assert torch.allclose(given[0], plain[0], atol=1e-5)
    assert not torch.allclose(given[1:], plain[1:], atol=1e-3)


@pytest.mark.parametrize("kernel", [AttnProcessor, AttnProcessor2_0, lambda: SlicedAttnProcessor(2)])
@pytest.mark.parametrize("bias", [None, 0.7])
def test_every_kernel_of_diffusers_gives_way_to_the_same_attention(unet, kernel, bias):
    def more(states):
        return MoreKeys(others(states), None if bias is None else torch.full((1, 1, 1, 5), bias))

    expected = called(unet, Source(more))
    unet.set_attn_processor(kernel())
    assert torch.allclose(called(unet, Source(more)), expected, atol=1e-5)


def test_fused_projections_read_more_too(unet):
    source = Source(lambda states: MoreKeys(others(states)))
    expected = called(unet, source)
    unet.fuse_qkv_projections()
    assert torch.allclose(called(unet, source), expected, atol=1e-5)


def test_the_fused_kernel_has_a_mask_only_where_there_is_a_bias(unet, monkeypatch):
    masks, kernel = [], processor.scaled_dot_product_attention

    def noting(*given, attn_mask, **named):
        masks.append(attn_mask)
        return kernel(*given, attn_mask=attn_mask, **named)

    monkeypatch.setattr(processor, "scaled_dot_product_attention", noting)
    source = Source(lambda states: MoreKeys(others(states)))
    called(unet, source)
    assert masks == [None] * len(source.seen)
    masks.clear()
    called(unet, Source(lambda states: MoreKeys(others(states), torch.ones(1, 1, 1, 5))))
    assert len(masks) == len(source.seen) and all(one is not None for one in masks)


def test_a_tap_sees_the_keys_that_are_added_after_the_layers_own(unet, recorder):
    reading = recorder(lambda site, queries: site.kind == "self")
    source = Source(lambda states: MoreKeys(others(states), torch.full((1, 1, 1, 5), -0.5)))
    assert torch.allclose(called(unet, source, taps=(reading,)), called(unet, source), atol=1e-5)
    assert all(probs.shape[-1] == probs.shape[-2] + 5 for _, _, probs in reading.seen)
    assert all(torch.allclose(probs.sum(-1), torch.ones(()), atol=1e-5) for _, _, probs in reading.seen)


@pytest.mark.parametrize("upcast", [False, True])
def test_half_precision_reads_more_with_and_without_a_bias(unet, recorder, upcast):
    half = copy.deepcopy(unet).to(torch.bfloat16)
    for module in half.modules():
        if hasattr(module, "upcast_attention"):
            module.upcast_attention = upcast
    source = Source(lambda states: MoreKeys(others(states.float()), torch.full((1, 1, 1, 5), 0.5)))
    found = called(half, source, dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16
    rounded = float((called(half, None, dtype=torch.bfloat16).float() - called(unet, None)).abs().max())
    assert float((found.float() - called(unet, source)).abs().max()) < max(0.1, 2 * rounded)  # as the U-Net itself
    opened = called(half, source, dtype=torch.bfloat16, taps=(recorder(),))
    assert torch.allclose(opened.float(), found.float(), atol=max(0.1, 2 * rounded))


def test_what_does_not_fit_is_named(unet):
    with pytest.raises(ShapeError, match=r"More keys of shape \(2, 5\) were given; they are \(rows, more, width\)"):
        MoreKeys(torch.zeros(2, 5))
    with pytest.raises(ShapeError, match=r"\(2, 1, 1, 4\); it is \(1, 1, 1, 5\) or \(2, 1, 1, 5\)"):
        MoreKeys(torch.zeros(2, 5, 8), torch.zeros(2, 1, 1, 4))
    for wrong in (lambda states: states[:1], lambda states: states[..., 1:]):
        before = list(unet.attn_processors.values())
        with pytest.raises(ShapeError, match=r"were given to down_blocks.*conditional rows have width"):
            called(unet, Source(lambda states, wrong=wrong: MoreKeys(wrong(states))))
        assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))


def test_a_run_reads_more_and_leaves_the_unet_as_it_was(unet, guided_run):
    source = Source(lambda states: MoreKeys(others(states)))
    before = list(unet.attn_processors.values())
    plan = guided_run(source)
    steps = execute(unet, plan)
    next(steps)
    assert all(one is other for one, other in zip(before, unet.attn_processors.values(), strict=True))
    *_, last = steps
    *_, without = execute(unet, guided_run(None))
    assert not torch.allclose(last.latents, without.latents, atol=1e-3)
    assert {shape[0] for _, _, shape in source.seen} == {plan.guidance.rows}
    assert {moment.index for _, moment, _ in source.seen} == {0, 1, 2}
