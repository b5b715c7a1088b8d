"""The edit task on a tiny checkpoint: what it promises at every size, and what it refuses before any denoising."""

import threading
from dataclasses import replace

import pytest
import torch
from PIL import Image

from blipdiff.attention import processor, taps
from blipdiff.attention.prompt_to_prompt import Replace, Reweight
from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.control.controlnet import ControlBranch
from blipdiff.latents import noise
from blipdiff.moment import Moment
from pipelines.edit.composite import edit_pictures
from pipelines.edit.invert import Inversion, invert_photo, prepare_photo
from pipelines.edit.plan import SOURCE, TARGET, encode_edit, plan_edit
from pipelines.edit.request import EditRequest
from pipelines.plan import execute

SIZES = [(64, 64), (64, 128), (128, 64)]  # (width, height)


@pytest.fixture(scope="module")
def model(shared):
    return load_model(shared / "parity" / "blipdiffusion-tiny", dtype="stored")


@pytest.fixture(scope="module")
def subject(model):
    tokens = torch.randn(16, model.text_encoder.sizes.width, generator=torch.Generator().manual_seed(3))
    return SubjectEmbedding(tokens, "dog")


def asked(**changes):
    return EditRequest(**{"source": "cat", "target": "dog", "prompt": "on a sofa", "steps": 4} | changes)


def last_of(model, plan):
    *_, last = execute(model.unet, plan.sampling)
    return last.latents


def photo(size=(64, 64)):
    small = torch.randint(0, 256, (4, 5, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Image.fromarray(small.numpy()).resize(size)


def inverted(model, encoded, source):
    steps = invert_photo(model, encoded.request, encoded.positive, source)
    return Inversion(source, (source.latents, *(step.latents for step in steps)))


def processors(model):
    return list(model.unet.attn_processors.values())


def same_objects(one, other):
    return all(first is second for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "dpm++2m", "euler-a"])
def test_an_edit_of_nothing_is_the_source_bit_for_bit(model, size, scheduler):
    request = asked(target="cat", width=size[0], height=size[1], scheduler=scheduler)
    latents = last_of(model, plan_edit(model, encode_edit(model, request), 7))
    assert latents.shape == (2, 4, size[1] // 8, size[0] // 8)
    assert torch.equal(latents[TARGET], latents[SOURCE])


@pytest.mark.parametrize("size", SIZES[1:])  # at 64 x 64 the tiny U-Net's one place of 24 values is no whole vector
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_an_edit_of_nothing_in_a_photo_is_its_source_bit_for_bit(model, size, strength):
    request = asked(target="cat", guidance=1.0, inversion="ddim", hold_source=False, width=size[0], height=size[1])
    request = replace(request, strength=strength)
    encoded = encode_edit(model, request)
    source = prepare_photo(model, request, photo(size))
    latents = last_of(model, plan_edit(model, encoded, inverted(model, encoded, source)))
    assert torch.equal(latents[TARGET], latents[SOURCE])


def test_the_source_row_is_the_plain_picture_of_its_seed(model, subject):
    plan = plan_edit(model, encode_edit(model, asked(), subject), 7)
    latents = last_of(model, plan)
    alone = replace(plan.sampling, guidance=plan.sampling.guidance.select([0]), taps=(), edits=())
    alone = replace(alone, latents=plan.sampling.latents[:1], generators=None)
    *_, plain = execute(model.unet, alone)
    assert torch.allclose(latents[:1], plain.latents, atol=1e-4)
    assert not torch.allclose(latents[TARGET], latents[SOURCE], atol=1e-2)


@pytest.mark.parametrize("size", SIZES)
def test_photos_of_every_aspect_are_edited_and_their_background_is_kept(model, subject, size):
    picture = photo((size[0] * 2 + 3, size[1] * 2))
    encoded = encode_edit(model, asked(mask_threshold=0.6), subject)
    source = prepare_photo(model, encoded.request, picture)
    plan = plan_edit(model, encoded, inverted(model, encoded, source))
    latents = last_of(model, plan)
    assert torch.equal(latents[:1], source.latents)
    kept = plan.blend.mask(latents.shape[-2:]) == 0
    assert torch.equal(latents[TARGET][:, kept], latents[SOURCE][:, kept])
    pictures = edit_pictures(model, plan, latents, photo=source, keep_background=True)
    assert pictures.before.size == pictures.after.size == pictures.mask.size == picture.size
    assert {one.word for one in pictures.source_maps} >= {"cat", "sofa"}
    assert pictures.target_maps[0].word == "the subject"
    assert pictures.target_maps[0].heat.shape == (picture.height, picture.width)


def test_outside_the_mask_the_pixels_are_the_photos_own(model, subject):
    picture, white = photo((64, 64)), Image.new("L", (64, 64))
    white.paste(255, (0, 0, 16, 64))
    encoded = encode_edit(model, asked(mask_use="alone", guidance=3.0), subject)
    source = prepare_photo(model, encoded.request, picture, mask=white)
    plan = plan_edit(model, encoded, inverted(model, encoded, source))
    pictures = edit_pictures(model, plan, last_of(model, plan), photo=source, keep_background=True)
    assert pictures.after.crop((24, 0, 64, 64)).tobytes() == picture.crop((24, 0, 64, 64)).tobytes()
    assert pictures.after.crop((0, 0, 8, 64)).tobytes() != picture.crop((0, 0, 8, 64)).tobytes()


def test_fresh_noise_replaces_a_share_of_the_targets_own_and_keeps_its_size(model, subject):
    found = {}
    for share in (0.0, 0.5, 1.0):
        encoded = encode_edit(model, asked(fresh_noise=share, seed=5), subject)
        source = prepare_photo(model, encoded.request, photo((64, 64)))
        found[share] = plan_edit(model, encoded, inverted(model, encoded, source)).sampling.latents
    assert torch.equal(found[0.0][TARGET], found[0.0][SOURCE])
    assert all(torch.equal(latents[SOURCE], found[0.0][SOURCE]) for latents in found.values())
    drawn = noise([5], found[1.0].shape[1:])[0]
    assert torch.equal(found[1.0][TARGET], drawn)
    assert torch.allclose(found[0.5][TARGET], (found[0.0][TARGET] + drawn) / 2**0.5, atol=1e-5)


def test_the_photos_row_is_not_guided_and_the_targets_is(model, subject):
    encoded = encode_edit(model, asked(guidance=6.0), subject)
    source = prepare_photo(model, encoded.request, photo())
    plan = plan_edit(model, encoded, inverted(model, encoded, source))
    assert plan.sampling.guidance.scale.tolist() == [1.0, 6.0]
    assert plan_edit(model, encoded, 1).sampling.guidance.scale.tolist() == [6.0, 6.0]


def test_an_edit_runs_twice_and_gives_the_same(model, subject):
    plan = plan_edit(model, encode_edit(model, asked(scheduler="ddim"), subject), 7)
    assert torch.equal(last_of(model, plan), last_of(model, plan))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_stopping_at_any_step_leaves_the_unets_processors_the_same_objects(model, subject, steps):
    before = processors(model)
    run = execute(model.unet, plan_edit(model, encode_edit(model, asked(), subject), 7).sampling)
    for _ in range(steps):
        next(run)
        assert same_objects(processors(model), before)
    run.close()
    assert same_objects(processors(model), before)


def test_an_exception_inside_a_tap_leaves_the_unets_processors_the_same_objects(model, subject):
    class Failing:
        def wants(self, site, moment, queries):
            return moment.index == 2

        def __call__(self, probs, site, moment):
            raise RuntimeError("in the tap")

    before = processors(model)
    sampling = plan_edit(model, encode_edit(model, asked(), subject), 7).sampling
    with pytest.raises(RuntimeError, match="in the tap"):
        list(execute(model.unet, replace(sampling, taps=(*sampling.taps, Failing()))))
    assert same_objects(processors(model), before)


def test_two_edits_in_two_threads_on_one_model_are_what_each_is_alone(model, subject):
    encoded = [encode_edit(model, asked(strength=strength), subject) for strength in (0.2, 0.9)]
    alone = [last_of(model, plan_edit(model, one, 7)) for one in encoded]
    before, found = processors(model), [None, None]

    def run(place):
        found[place] = last_of(model, plan_edit(model, encoded[place], 7))

    threads = [threading.Thread(target=run, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))
    assert same_objects(processors(model), before)


def test_without_a_windows_hold_the_target_is_drawn_freely(model, subject):
    request = asked(cross_stop=0.0, self_stop=0.0, local_blend=False)
    plan = plan_edit(model, encode_edit(model, request, subject), 7)
    plain = replace(plan.sampling, taps=())
    *_, free = execute(model.unet, plain)
    assert torch.allclose(last_of(model, plan), free.latents, atol=1e-4)


def test_self_attention_at_the_latents_own_size_is_opened_only_when_asked_for(model, subject, monkeypatch):
    opened = []
    inner = processor.explicit_attention

    def noting(attention, hidden_states, *rest, **given):
        if not attention.is_cross_attention:
            opened.append(hidden_states.shape[1])
        return inner(attention, hidden_states, *rest, **given)

    monkeypatch.setattr(taps, "explicit_attention", noting)
    last_of(model, plan_edit(model, encode_edit(model, asked(self_stop=1.0, self_level=2), subject), 7))
    assert max(opened) == 2 * 2
    last_of(model, plan_edit(model, encode_edit(model, asked(self_stop=1.0, self_level=0), subject), 7))
    assert max(opened) == 8 * 8


def test_a_control_branch_steers_both_rows(model, subject, tiny_controlnet):
    branch = ControlBranch(tiny_controlnet, torch.rand(1, 3, 64, 64))
    encoded = encode_edit(model, asked(), subject)
    steered = last_of(model, plan_edit(model, encoded, 7, controls=[branch]))
    free = last_of(model, plan_edit(model, encoded, 7))
    assert not torch.allclose(steered[SOURCE], free[SOURCE], atol=1e-3)
    assert not torch.allclose(steered[TARGET], free[TARGET], atol=1e-3)


def test_words_weights_windows_and_replacing_reach_the_taps(model, subject):
    request = asked(strength=0.5, method="replace", word_weights="sofa: 2, dog: 0.5", word_stops="sofa: 0.3")
    encoded = encode_edit(model, request, subject)
    target = encoded.positive.layouts[TARGET]
    assert isinstance(encoded.edits[0], Replace)
    assert isinstance(encoded.edits[1], Reweight)
    assert encoded.edits[1].scales == {
        **dict.fromkeys(target.slots("sofa"), 2.0),
        **dict.fromkeys(target.slots("dog"), 0.5),
    }
    tap = plan_edit(model, encoded, 7).sampling.taps[0]
    held = tap.held(Moment(2, 4, torch.tensor(1)), len(target))
    assert not held[list(target.slots("sofa"))].any()
    assert held[list(target.slots("dog"))].all()
    last_of(model, plan_edit(model, encoded, 7))


def test_the_masks_words_are_those_swapped_or_those_in_focus(model, subject):
    source, target = encode_edit(model, asked(), subject).positive.layouts
    swap = {SOURCE: source.slots("cat"), TARGET: target.subject_slots}
    assert encode_edit(model, asked(), subject).blend_slots == swap, "the old one goes, the new one comes"
    assert encode_edit(model, asked(blend_words="subject"), subject).blend_slots == {TARGET: target.subject_slots}
    assert encode_edit(model, asked()).blend_slots == {SOURCE: source.slots("cat")}
    authors = encode_edit(model, asked(blend_words="source"), subject).blend_slots
    assert authors == {SOURCE: source.slots("cat")}
    both = encode_edit(model, asked(blend_words="both"), subject).blend_slots
    assert both == {SOURCE: source.slots("cat"), TARGET: target.slots("dog")}
    focus = encode_edit(model, asked(focus="sofa, cat"), subject).blend_slots
    assert focus == {SOURCE: (*source.slots("sofa"), *source.slots("cat"))}
