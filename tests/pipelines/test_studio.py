"""A studio: events, stopping, runs beside each other, subjects, and models that it opens."""

from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from blipdiff.checkpoints import save_model
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, NumericsError, SubjectError
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.batches import preview_pictures
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.studio import Studio
from pipelines.task import Notice, Progress, Result
from tests.support.studios import asked, counted, dog, drawn, picture_of, pictures, pixels, run, state
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture
def model() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture
def studio(model: BlipDiffusion) -> Studio:
    return Studio(model)


# Events


def test_notices_come_first_then_progress_and_pictures_batch_by_batch(studio: Studio) -> None:
    events = list(run(studio, count=5, batch=2, seed=10, prompt="beach " * 60))
    kinds = [type(event).__name__ for event in events]
    whole = ["Progress"] * 3 + ["Result"] * 2
    assert kinds == ["Notice", *whole, *whole, *["Progress"] * 3, "Result"]
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.step for event in progress] == list(range(1, 10))
    assert {event.steps for event in progress} == {9}
    assert [event.seeds for event in progress[::3]] == [(10, 11), (12, 13), (14,)]
    results = [event for event in events if isinstance(event, Result)]
    assert [(event.picture.seed, event.picture.index) for event in results] == [(10 + n, n) for n in range(5)]
    assert [event.name for event in results] == [f"dog-{10 + n}" for n in range(5)]
    assert isinstance(events[0], Notice)


def test_pndm_tells_of_its_extra_call_of_the_unet(studio: Studio) -> None:
    progress = [event for event in run(studio, scheduler="pndm", steps=5) if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in progress] == [(n, 6) for n in range(1, 7)]


def test_a_batch_equals_its_single_runs(studio: Studio) -> None:
    for scheduler in ("dpm++2m", "euler-a"):
        together = drawn(studio, count=3, seed=5, batch=3, scheduler=scheduler)
        one_by_one = drawn(studio, count=3, seed=5, batch=1, scheduler=scheduler)
        alone = [drawn(studio, seed=seed, scheduler=scheduler)[0] for seed in (5, 6, 7)]
        for first, second, third in zip(together, one_by_one, alone, strict=True):
            assert np.abs(first - second).max() <= 1, "pictures have whole numbers: the last digit may round otherwise"
            assert np.array_equal(second, third)


def test_previews_come_as_often_as_asked_and_change_nothing(studio: Studio) -> None:
    events = list(run(studio, count=2, steps=6, preview_every=2))
    shown = [event for event in events if isinstance(event, Progress) and event.previews]
    assert [event.step for event in shown] == [2, 4, 6]
    assert all(len(event.previews) == len(event.seeds) == 2 for event in shown)
    assert {picture.size for event in shown for picture in event.previews} == {(64, 64)}
    plain = drawn(studio, count=2, steps=6)
    assert all(np.array_equal(pixels(one), other) for one, other in zip(pictures(events), plain, strict=True))
    assert not any(event.previews for event in run(studio) if isinstance(event, Progress))


def test_a_quick_decoder_draws_previews_as_they_will_be() -> None:
    torch.manual_seed(0)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=16,
    )
    clean = torch.randn(2, 16, 8, 8)
    first, second = preview_pictures(vae.eval(), clean)
    assert first.size == (16, 16)
    assert np.abs(np.asarray(first).astype(int) - np.asarray(second)).max() > 0
    assert preview_pictures(vae, clean * 1000)[0].size == (16, 16), "a wild guess is clipped, not refused"


def test_what_the_model_cannot_do_is_refused_before_anything_is_drawn(model: BlipDiffusion, studio: Studio) -> None:
    with counted(model.unet) as calls:
        for wrong in ({"width": 17}, {"scheduler": "lcm", "steps": 999}):
            with pytest.raises(ConfigError):
                list(run(studio, **wrong))
    assert calls == []


# Stopping, and runs beside each other


def test_closing_a_run_stops_it(model: BlipDiffusion, studio: Studio) -> None:
    events = run(studio, steps=50, count=4, batch=1)
    with counted(model.unet) as calls:
        for _ in range(3):
            next(events)
        events.close()
        assert len(calls) == 3
    assert drawn(studio)


def within(seconds: float, *works: Any) -> None:
    """Every work in a thread of its own; a work that hangs, or fails, fails the test."""
    errors: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "it hangs"
    assert errors == []


def test_runs_may_take_turns_in_one_thread(studio: Studio) -> None:
    wanted = [drawn(studio, seed=seed, scheduler="euler-a")[0] for seed in (1, 2)]
    found: dict[int, np.ndarray] = {}

    def both() -> None:
        runs = [run(studio, seed=seed, scheduler="euler-a") for seed in (1, 2)]
        for events in zip(*runs, strict=True):
            found.update({picture.seed: pixels(picture) for picture in pictures(events)})

    within(60, both)
    assert all(np.array_equal(found[seed], one) for seed, one in zip((1, 2), wanted, strict=True))


def test_a_run_that_is_left_keeps_nobody_waiting(studio: Studio) -> None:
    left = run(studio, steps=50)
    next(left)
    within(60, lambda: drawn(studio))
    left.close()


def test_studios_and_threads_on_one_model_draw_what_they_draw_alone(model: BlipDiffusion) -> None:
    first, second = Studio(model), Studio(model)
    kinds = [("dpm++2m", 1), ("euler-a", 2), ("pndm", 3), ("euler", 4)]
    wanted = [drawn(first, scheduler=scheduler, seed=seed, count=2, steps=6) for scheduler, seed in kinds]
    found: dict[int, list[np.ndarray]] = {}

    def work(number: int) -> None:
        scheduler, seed = kinds[number]
        studio = (first, second)[number % 2]
        found[number] = drawn(studio, scheduler=scheduler, seed=seed, count=2, steps=6)

    within(60, *(lambda number=number: work(number) for number in range(4)))
    for number, alone in enumerate(wanted):
        assert all(np.array_equal(one, other) for one, other in zip(found[number], alone, strict=True))


def test_runs_leave_the_model_as_they_found_it(model: BlipDiffusion, studio: Studio) -> None:
    before = state(model)
    drawn(studio, count=2, preview_every=1)
    assert state(model) == before
    stopped = run(studio, steps=9)
    next(stopped)
    assert state(model) == before, "in the middle of a run as well"
    stopped.close()
    assert state(model) == before


def test_a_run_that_fails_leaves_the_model_as_it_found_it(model: BlipDiffusion, studio: Studio) -> None:
    before = state(model)
    subject = studio.subject([dog()])
    huge = SubjectEmbedding(subject.tokens * 1e38, "dog", fingerprint=subject.fingerprint)
    with pytest.raises(NumericsError, match="infinite or not-a-number"):
        list(run_job(studio, Job.of(asked(), subject=huge)))
    assert state(model) == before
    within(60, lambda: drawn(studio))


# Subjects


def test_a_photo_is_encoded_once(model: BlipDiffusion, studio: Studio) -> None:
    with counted(model.subject_encoder) as calls:
        first = studio.subject([dog()])
        again = studio.subject([SubjectPhoto(photo(), "dog")])
        assert len(calls) == 1
        assert again is first
        studio.subject([dog(1)])
        studio.subject([SubjectPhoto(photo(), "tiger")])
        studio.subject([dog()], fit="crop")
        assert len(calls) == 4


def test_the_memory_of_subjects_has_an_end(model: BlipDiffusion, studio: Studio) -> None:
    studio.subject([dog()])
    for seed in range(1, 70):
        studio.subject([SubjectPhoto(photo(seed, (8, 8)), "dog")])
    with counted(model.subject_encoder) as calls:
        studio.subject([SubjectPhoto(photo(69, (8, 8)), "dog")])
        assert calls == []
        studio.subject([dog()])
        assert len(calls) == 1


def test_photos_that_differ_only_in_their_palette_are_two_subjects(studio: Studio) -> None:
    red = Image.new("P", (16, 16), 0)
    red.putpalette([255, 0, 0])
    blue = Image.new("P", (16, 16), 0)
    blue.putpalette([0, 0, 255])
    assert red.tobytes() == blue.tobytes()
    first, second = (studio.subject([SubjectPhoto(image, "dog")]) for image in (red, blue))
    assert not torch.equal(first.tokens, second.tokens)


def test_photos_and_cards_are_mixed_by_their_weights(studio: Studio) -> None:
    card, other = studio.subject([dog()]), studio.subject([dog(1)])
    mixed = studio.subject([card, dog(1)], weights=[1, 3])
    assert torch.allclose(mixed.tokens, 0.25 * card.tokens + 0.75 * other.tokens, atol=1e-6)
    assert torch.equal(studio.subject([card, dog(1)], weights=[2, 0]).tokens, card.tokens)
    assert torch.equal(studio.subject([card], weights=[0.3]).tokens, card.tokens)


@pytest.mark.parametrize("weights", [[float("nan")], [-1.0], [0.0], [float("inf")]])
def test_a_weight_that_is_none_is_refused_even_for_a_single_subject(weights: list[float], studio: Studio) -> None:
    with pytest.raises(ConfigError, match="each must be 0 or more"):
        studio.subject([dog()], weights=weights)


def test_subjects_that_do_not_fit_are_refused(studio: Studio) -> None:
    with pytest.raises(SubjectError, match="No subject"):
        studio.subject([])
    with pytest.raises(SubjectError, match="1 subjects were given with 2 weights"):
        studio.subject([dog()], weights=[1, 2])
    foreign = tiny_model(1).encode_subject(dog())
    for references in ([foreign], [dog(), foreign]):
        with pytest.raises(SubjectError, match="made by the model"):
            studio.subject(references)


# Opening


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_studio_opens_a_folder_in_the_asked_precision(dtype: str, model: BlipDiffusion, tmp_path: Path) -> None:
    save_model(model, tmp_path / "tiny")
    opened = Studio.open(tmp_path / "tiny", device="cpu", dtype=dtype)
    assert str(opened.model.unet.dtype) == f"torch.{dtype}"
    picture = picture_of(opened)
    assert picture.metadata()["place"] == {"device": "cpu", "dtype": dtype, "engine": "torch"}
    assert np.abs(pixels(picture) - drawn(Studio(model))[0]).mean() < 8
