"""What an edit's request derives, and what the task refuses before any denoising."""

import pytest
import torch
from PIL import Image

from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, ImageError, PromptError
from blipdiff.sampling.predictor import GuidedPredictor
from pipelines.edit.invert import prepare_photo, work_size
from pipelines.edit.plan import encode_edit, plan_edit
from pipelines.edit.request import EditRequest


@pytest.fixture(scope="module")
def model(shared):
    return load_model(shared / "parity" / "blipdiffusion-tiny", dtype="stored")


@pytest.fixture(scope="module")
def subject(model):
    return SubjectEmbedding(torch.zeros(16, model.text_encoder.sizes.width), "dog")


def asked(**changes):
    return EditRequest(**{"source": "cat", "target": "dog", "prompt": "on a sofa", "steps": 4} | changes)


def photo(size=(64, 64)):
    return Image.new("RGB", size, "teal")


def test_the_dial_derives_the_windows_and_each_may_be_overridden():
    middle = asked(strength=0.5).dial()
    assert (middle.cross_stop, middle.self_stop, middle.blend_threshold, middle.fresh_noise) == (0.8, 0.4, 0.3, 0.0)
    marks = [asked(strength=strength).dial() for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for name in ("cross_stop", "self_stop", "blend_threshold"):
        values = [getattr(mark, name) for mark in marks]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == len(values)
    assert [mark.fresh_noise for mark in marks] == [0.0, 0.0, 0.0, 0.5, 1.0]
    own = asked(strength=0.9, cross_stop=0.7, self_stop=0.1, mask_threshold=0.2, fresh_noise=0.3).dial()
    assert (own.cross_stop, own.self_stop, own.blend_threshold, own.fresh_noise) == (0.7, 0.1, 0.2, 0.3)
    assert asked(strength=0.5, preset="try-on").dial().blend_threshold == 0.15


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"focus": "table"}, PromptError, "does not hold 'table'"),
        ({"blend_words": "target", "focus": "cat"}, PromptError, "does not hold 'cat'"),
        ({"word_weights": "table: 2"}, PromptError, "does not hold 'table'"),
        ({"word_weights": "sofa"}, PromptError, "write 'snow: 2'"),
        ({"word_weights": "sofa: -1"}, ConfigError, "0 or more"),
        ({"word_stops": "sofa: 2"}, ConfigError, "fractions of the run"),
        ({"method": "replace", "target": "small dog"}, PromptError, "same structure"),
    ],
)
def test_bad_words_are_named_when_the_prompts_are_encoded(model, subject, changes, error, message):
    with pytest.raises(error, match=message):
        encode_edit(model, asked(**changes), subject)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 1.5}, "Edit strength is 1.5"),
        ({"strength": float("nan")}, "Edit strength is nan"),
        ({"mask_threshold": -0.1}, "Mask threshold is -0.1"),
        ({"method": "swap"}, "Method is 'swap'"),
        ({"inversion": "newton"}, "Inversion is 'newton'"),
        ({"preset": "hat"}, "Kind of edit is 'hat'"),
    ],
)
def test_requests_outside_their_ranges_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        asked(**changes)


def test_an_empty_source_is_refused():
    with pytest.raises(PromptError, match="name what is in the picture"):
        asked(source=" ")


@pytest.fixture
def no_denoising(monkeypatch):
    def refuse(self, latents, moment):
        raise AssertionError("the U-Net was called")

    monkeypatch.setattr(GuidedPredictor, "__call__", refuse)


@pytest.mark.usefixtures("no_denoising")
def test_bad_masks_photos_and_schedulers_are_named_before_any_denoising(model, subject):
    encoded = encode_edit(model, asked(), subject)
    black, other = Image.new("L", (64, 64)), Image.new("L", (32, 64), 255)
    with pytest.raises(ImageError, match="empty"):
        plan_edit(model, encoded, 1, mask=black)
    with pytest.raises(ImageError, match="32 x 64 pixels, the picture 64 x 64"):
        plan_edit(model, encoded, 1, mask=other)
    with pytest.raises(ImageError, match="empty"):
        prepare_photo(model, asked(), photo(), mask=black)
    with pytest.raises(ImageError, match="32 x 64 pixels, the picture 64 x 64"):
        prepare_photo(model, asked(), photo(), mask=other)
    with pytest.raises(ImageError, match="at most 4 times"):
        prepare_photo(model, asked(), photo((500, 100)))
    with pytest.raises(ConfigError, match=r"PNDMScheduler cannot invert.*ddim"):
        prepare_photo(model, asked(scheduler="pndm"), photo())
    with pytest.raises(ConfigError, match="both width and height"):
        prepare_photo(model, asked(width=64), photo())
    with pytest.raises(ConfigError, match=r"levels \[0, 1, 2\], not at 3"):
        plan_edit(model, encode_edit(model, asked(blend_level=3), subject), 1)
    with pytest.raises(ConfigError, match="multiples of 8"):
        plan_edit(model, encode_edit(model, asked(width=70), subject), 1)


def test_a_photo_is_edited_at_about_the_models_own_number_of_pixels(model):
    assert work_size(model, asked(), (4000, 4000)) == (64, 64)
    assert work_size(model, asked(width=72, height=96), (4000, 3000)) == (72, 96)
    width, height = work_size(model, asked(), (3000, 1000))
    assert width % 64 == height % 64 == 0
    assert width > height
