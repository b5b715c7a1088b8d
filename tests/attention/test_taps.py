import copy
import threading

import pytest
import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    IPAdapterAttnProcessor2_0,
    SlicedAttnProcessor,
)

from blipdiff.attention.taps import TapCall, tapped
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.latents import noise
from blipdiff.moment import Moment


def processors(unet):
    return list(unet.attn_processors.values())


def same_objects(one, other):
    return len(one) == len(other) and all(first is second for first, second in zip(one, other, strict=True))


def test_a_call_whose_taps_want_no_layer_is_the_plain_call_bit_for_bit(unet, call, recorder):
    nothing = recorder(lambda site, queries: False)
    assert torch.equal(call(unet, [nothing]), call(unet))
    assert torch.equal(call(unet, []), call(unet))
    assert nothing.seen == []


def test_a_layer_that_is_not_wanted_keeps_its_own_kernel(unet, call, recorder, monkeypatch):
    used, kernel = [], AttnProcessor2_0.__call__

    def noting(self, attention, *args, **kwargs):
        used.append(attention.is_cross_attention)
        return kernel(self, attention, *args, **kwargs)

    monkeypatch.setattr(AttnProcessor2_0, "__call__", noting)
    only = recorder(lambda site, queries: site.kind == "cross")
    call(unet, [only])
    assert used == [False] * len(only.seen)
    assert len(used) + len(only.seen) == len(unet.attn_processors)


def test_a_tap_that_only_reads_changes_the_prediction_by_rounding_alone(unet, call, recorder):
    watching = recorder()
    assert torch.allclose(call(unet, [watching]), call(unet), atol=1e-5)
    assert len(watching.seen) == len(unet.attn_processors)
    for site, _, probs in watching.seen:
        assert torch.allclose(probs.sum(-1), torch.ones(probs.shape[:-1]), atol=1e-5)
        assert probs.shape[-1] == (77 if site.kind == "cross" else probs.shape[-2])


@pytest.mark.parametrize("processor", [AttnProcessor, lambda: SlicedAttnProcessor(2)])
def test_other_kernels_of_diffusers_agree_with_the_open_attention(unet, call, recorder, processor):
    plain = call(unet)
    unet.set_attn_processor(processor())
    assert torch.allclose(call(unet, [recorder()]), plain, atol=1e-5)
    only = recorder(lambda site, queries: site.kind == "cross")
    assert torch.allclose(call(unet, [only]), plain, atol=1e-5), "layers that no tap wants are the kernel's own"


@pytest.mark.parametrize("setting", ["upcast_attention", "upcast_softmax"])
def test_upcasting_is_honoured_in_half_precision(unet, call, recorder, setting):
    half = copy.deepcopy(unet).to(torch.bfloat16)
    half.set_attn_processor(AttnProcessor())
    for module in half.modules():
        if hasattr(module, setting):
            setattr(module, setting, True)
    latents, words = noise([1], (4, 8, 8)).bfloat16(), torch.randn(1, 77, 32).bfloat16()
    with torch.no_grad():
        plain = half(latents, 501, words).sample
        told = {"tap_call": TapCall((recorder(),), Moment(0, 1, torch.tensor(501)), 0)}
        with tapped(half):
            assert torch.equal(half(latents, 501, words, cross_attention_kwargs=told).sample, plain)


def test_taps_see_the_conditional_rows_only_and_may_replace_them(unet, call, recorder):
    flat = recorder(change=lambda probs: torch.full_like(probs, 1 / probs.shape[-1]))
    plain, changed = call(unet, rows=3), call(unet, [flat], rows=3, first=1)
    assert {probs.shape[0] for _, _, probs in flat.seen} == {2}
    assert torch.allclose(changed[0], plain[0], atol=1e-5)
    assert not torch.allclose(changed[1:], plain[1:], atol=1e-4)


def test_taps_are_chained_in_their_order(unet, call, recorder):
    half, watching = recorder(change=lambda probs: probs * 0.5), recorder()
    call(unet, [half, watching])
    assert all(torch.equal(2 * after[2], before[2]) for before, after in zip(half.seen, watching.seen, strict=True))


def test_the_place_and_kind_of_a_layer_are_told(unet, call, recorder):
    watching = recorder()
    call(unet, [watching])
    for site, _, _ in watching.seen:
        assert site.name.startswith(site.block)
        assert site.kind == ("cross" if site.name.endswith("attn2") else "self")
    assert {site.block for site, _, _ in watching.seen} == {"down", "mid", "up"}


def test_processors_are_the_same_objects_after_an_exception_in_a_tap(unet, call, recorder):
    before = processors(unet)

    def fail(probs):
        raise RuntimeError("in the tap")

    with pytest.raises(RuntimeError, match="in the tap"):
        call(unet, [recorder(change=fail)])
    assert same_objects(processors(unet), before)


def test_nested_and_overlapping_blocks_leave_the_unet_when_the_last_ends(unet):
    before = processors(unet)
    first, second = tapped(unet), tapped(unet)
    first.__enter__()
    second.__enter__()
    wrapped = processors(unet)
    assert all(wrapper.inner is inner for wrapper, inner in zip(wrapped, before, strict=True))
    first.__exit__(None, None, None)
    assert same_objects(processors(unet), wrapped)
    second.__exit__(None, None, None)
    assert same_objects(processors(unet), before)


def test_processors_that_someone_else_sets_meanwhile_are_left_to_him(unet):
    with tapped(unet):
        unet.set_attn_processor(AttnProcessor())
        others = processors(unet)
    assert same_objects(processors(unet), others)


def test_two_threads_on_one_unet_make_what_each_makes_alone(unet, call, recorder):
    def louder():
        return recorder(lambda site, queries: site.kind == "cross", lambda probs: probs * 1.5)

    def flatter():
        return recorder(change=lambda probs: torch.full_like(probs, 1 / probs.shape[-1]))

    alone = [call(unet, [louder()]), call(unet, [flatter()]), call(unet)]
    before, wrong = processors(unet), []

    def run(taps, expected):
        for _ in range(5):
            if not torch.equal(call(unet, taps()), expected):
                wrong.append(taps)

    makers = [lambda: [louder()], lambda: [flatter()], lambda: None]
    threads = [threading.Thread(target=run, args=pair) for pair in zip(makers, alone, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert same_objects(processors(unet), before)


def test_processors_with_terms_of_their_own_are_refused_and_nothing_is_wrapped(unet):
    layer = next(module for name, module in unet.named_modules() if name.endswith("up_blocks.1.attentions.0"))
    attention = layer.transformer_blocks[0].attn2
    attention.set_processor(IPAdapterAttnProcessor2_0(16, 32))
    before = processors(unet)
    with pytest.raises(ConfigError, match=r"IPAdapterAttnProcessor2_0.*unload"), tapped(unet):
        pass
    assert same_objects(processors(unet), before)


def test_a_tap_that_changes_the_shape_is_named(unet, call, recorder):
    with pytest.raises(ShapeError, match="Recorder made attention of shape"):
        call(unet, [recorder(change=lambda probs: probs[:1])])
