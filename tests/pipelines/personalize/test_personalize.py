"""Personalize on a tiny model: a card comes of it that every task takes, and the model is what it was."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, NumericsError, PromptError
from blipdiff.training.personal_checks import Check, best_of, is_enough
from blipdiff.training.personalize import PersonalObjective
from pipelines.batches import draw
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.personalize.memory import memory_plan
from pipelines.personalize.photos import strangers
from pipelines.personalize.request import PersonalizeRequest
from pipelines.personalize.run import learned, prepare_in, read_photos
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.task import Notice, Progress, Result, Sheet
from tests.support.learned import asked, learning, view
from tests.support.studios import pictures, pixels
from tests.support.tiny_models import tiny_model

METHODS = ("embedding", "lora", "full")


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def drawn(studio: Studio, subject: SubjectEmbedding, **changes: object) -> object:
    request = GenerateRequest(**{"category": "dog", "count": 1, "steps": 2, "seed": 1} | changes)
    (picture,) = pictures(run(studio, Job.of(request, subject=subject)))
    return picture


@pytest.mark.parametrize("method", METHODS)
def test_a_card_comes_of_it_and_the_model_is_what_it_was(studio: Studio, method: str, tmp_path: Path) -> None:
    before = {name: one.clone() for name, one in studio.model.unet.state_dict().items()}
    plain = drawn(studio, studio.model.encode_subject(_photo()))
    job = Job.of(asked(method=method, rate=0.01, prior=0.5), photo=[view(0), view(1)])
    events = list(run(studio, job, preview_every=1))
    (sheet,) = [one for one in events if isinstance(one, Sheet)][-1:]
    sheet.write(tmp_path / "rex.safetensors")
    card = SubjectEmbedding.load(tmp_path / "rex.safetensors")
    assert (card.category, bool(card.weights), card.cut_out is not None) == ("dog", method != "embedding", True)
    assert any(isinstance(one, Progress) and one.previews for one in events)
    assert len([one for one in events if isinstance(one, Result)]) == 2
    assert any("GB of memory" in one.text for one in events if isinstance(one, Notice))
    assert all(torch.equal(before[name], one) for name, one in studio.model.unet.state_dict().items())
    assert all(one.grad is None for one in studio.model.unet.parameters())
    again = drawn(studio, studio.model.encode_subject(_photo()))
    assert (pixels(again) == pixels(plain)).all()
    assert (pixels(drawn(studio, card)) != pixels(drawn(studio, replace(card, weights=())))).any() or not card.weights


def _photo():
    from blipdiff.conditioning.subject import SubjectPhoto

    return SubjectPhoto(view(0), "dog")


@pytest.fixture(scope="module")
def card(studio: Studio) -> SubjectEmbedding:
    found = learned(studio, asked(rate=0.05, steps=6), [view(0)])
    assert found.weights
    return found


@pytest.mark.parametrize("count", [1, 2])
def test_a_learned_subject_is_drawn_with_details_which_its_weights_have_no_part_in(
    studio: Studio, card: SubjectEmbedding, count: int
) -> None:
    plain = replace(card, weights=())
    request = GenerateRequest(category="dog", count=count, steps=2, seed=1, detail=0.5)
    fresh = [Studio(tiny_model()), Studio(tiny_model())]
    alone = pictures(run(fresh[0], Job.of(request, subject=plain)))
    tuned = pictures(run(fresh[1], Job.of(request, subject=card)))
    after = pictures(run(fresh[1], Job.of(request, subject=plain)))  # what was read while weights acted is kept
    assert len(tuned) == count
    assert all((pixels(one) == pixels(other)).all() for one, other in zip(alone, after, strict=True))
    assert (pixels(tuned[0]) != pixels(alone[0])).any()


def test_two_learned_subjects_stand_in_one_scene(studio: Studio, card: SubjectEmbedding) -> None:
    other = learned(studio, asked(rate=0.05, seed=9), [view(1, "navy")])
    from pipelines.inputs import Input

    def scene(*cards: SubjectEmbedding) -> object:
        boxes = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
        words = ("dog", "tiger")
        given = [Input(one, word, box=box) for one, word, box in zip(cards, words, boxes, strict=True)]
        request = SceneRequest(prompt="a {dog} and a {tiger}", count=1, steps=3, seed=1)
        (picture,) = pictures(run(studio, Job.of(request, subject=given)))
        return picture

    both, first = scene(card, other), scene(card, replace(other, weights=()))
    assert (pixels(both) != pixels(first)).any()
    assert not any(module._forward_hooks for module in studio.model.unet.modules())


def test_a_job_in_line_keeps_the_weights_and_a_picture_their_name(studio: Studio, card: SubjectEmbedding) -> None:
    job = Job.of(GenerateRequest(category="dog", count=1, steps=2), subject=card).opened()
    (told,) = Job.from_json(job.to_json()).given("subject")
    assert told.content.weights[0].weights.fingerprint == card.weights[0].weights.fingerprint
    picture = drawn(studio, card)
    kept = Job.from_mapping(picture.job)
    assert kept.given("subject")[0].content.weights[0].weights.tensors == {}
    with pytest.raises(ConfigError, match="give the card of it"):
        kept.completed()
    (again,) = pictures(run(studio, kept.completed(subject=[card])))
    assert (pixels(again) == pixels(picture)).all()


def test_the_queue_takes_weights_out_of_its_texts(card: SubjectEmbedding) -> None:
    from app.jobs.packing import packed, unpacked

    job = Job.of(GenerateRequest(category="dog"), subject=card).opened()
    found = packed(job)
    assert len(found.text) < 5000
    (one,) = unpacked(found.text, found.contents.__getitem__).given("subject")
    assert one.content.weights[0].weights.fingerprint == card.weights[0].weights.fingerprint


@pytest.mark.parametrize("method", METHODS)
def test_killed_anywhere_it_goes_on_bit_for_bit(
    studio: Studio, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.personalize.learning._SAVED_EVERY", 0.0)
    whole = learning(studio, tmp_path / "whole", method=method)
    for _ in whole.steps():
        pass
    for stop in (3, 6, 14):  # in the first stage, soon in the second, late in it
        child = os.fork()
        if not child:
            torch.set_num_threads(1)
            for number, _ in enumerate(learning(studio, tmp_path / "part", method=method).steps()):
                if number == stop:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        os.waitpid(child, 0)
    part = learning(studio, tmp_path / "part", method=method)
    for _ in part.steps():
        pass
    one, two = whole.card(), part.card()
    assert torch.equal(one.tokens, two.tokens)
    assert [a.weights.fingerprint for a in one.weights] == [a.weights.fingerprint for a in two.weights]
    assert whole.checks == part.checks


def test_a_folder_that_learns_something_else_is_refused(studio: Studio, tmp_path: Path) -> None:
    for _ in learning(studio, tmp_path, steps=1).steps():
        pass
    with pytest.raises(ConfigError, match="begun to learn something else"):
        next(iter(learning(studio, tmp_path, steps=2).steps()))


def test_a_loss_that_is_no_number_keeps_the_last_good_state(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.personalize.learning.CHECKED_EVERY", 2)
    loss, calls = PersonalObjective.loss, iter(range(1000))

    def poisoned(self, batch, generator):
        found, parts = loss(self, batch, generator)
        return (found * float("nan") if next(calls) >= limit else found), parts

    monkeypatch.setattr(PersonalObjective, "loss", poisoned)
    limit = 20
    found = learning(studio, tmp_path / "late", rate=0.05, steps=30)
    notes = [step.note for step in found.steps() if step.note]
    assert len(notes) == 1 and "is kept" in notes[0]
    assert torch.isfinite(found.card().tokens).all()
    limit = 0
    with pytest.raises(NumericsError):
        list(learning(studio, tmp_path / "soon").steps())


def test_stopping_keeps_what_is_best_so_far(studio: Studio, tmp_path: Path) -> None:
    job, seen = Job.of(asked(steps=200, rate=0.05), photo=[view(0)]).opened(), [0]

    def is_stopping() -> bool:
        seen[0] += 1
        return seen[0] > 60

    events = list(draw(studio, prepare_in(studio, job, tmp_path, is_stopping)))
    assert isinstance(events[-1], Sheet)
    assert seen[0] == 61
    told = json.loads((tmp_path / "checks.json").read_text())
    assert len(told) == 4  # before the first step, and three times since
    assert "tokens" in load_file(tmp_path / "best.safetensors")


def test_the_best_check_is_the_earliest_that_no_later_one_is_worth_leaving_for() -> None:
    checks = [Check(0, 1.0, 0.0), Check(20, 0.9, 0.01), Check(40, 0.895, 0.02), Check(60, 0.8, 0.5)]
    assert best_of(checks[:3]).step == 20
    assert best_of(checks).step == 20  # what was gained is lost in others
    assert not is_enough(checks, 3)
    assert is_enough([*checks, Check(80, 0.9, 0.01)], 3)


def test_photos_are_told_of_in_sentences(studio: Studio) -> None:
    assert any("one photo" in text for text in read_photos(studio, [view(0)], "dog", "pad").notices)
    found = read_photos(studio, [view(0), _busy()], "dog", "pad")
    assert len(found.rows) == 2
    many = read_photos(studio, [view(0, side=32)] * 31, "dog", "pad")
    assert any("31 photos" in text for text in many.notices)


def _busy():
    from tests.support.tiny_models import photo

    return photo(2, (48, 20))


def test_photos_of_another_thing_are_named() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(4, 16, generator=generator), torch.randn(4, 16, generator=generator)
    alike = torch.stack([one + 0.1 * torch.randn(4, 16, generator=generator) for _ in range(4)])
    assert strangers(alike) == []
    assert "Photo 3 " in strangers(torch.stack([*alike[:2], other, *alike[2:]]))[0]


def test_a_category_is_needed() -> None:
    with pytest.raises(PromptError):
        PersonalizeRequest(category=" ")
    with pytest.raises(ConfigError, match="Method is"):
        asked(method="dreambooth")


def test_memory_is_counted_before_anything_is_learned(studio: Studio) -> None:
    lora, full = (memory_plan(studio.model, asked(method=method), checkpointing=False) for method in ("lora", "full"))
    assert lora.trained < full.trained
    assert lora.moments + lora.gradients < full.moments + full.gradients
    again = memory_plan(studio.model, asked(), checkpointing=True)
    assert again.activations < lora.activations
    packed = memory_plan(studio.model, asked(method="full", eight_bit=True), checkpointing=False)
    assert 4 * packed.moments == full.moments
    wide = memory_plan(studio.model, asked(batch=8), checkpointing=False)
    assert 2 < wide.activations / lora.activations < 6  # of five times as many rows, with those without words
