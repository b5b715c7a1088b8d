"""Blends on a tiny model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.distances import neighbour_distances
from blipdiff.errors import BlipdiffError, ConfigError, PromptError, SubjectError
from pipelines.blend.plan import label_of
from pipelines.blend.request import BlendRequest
from pipelines.blend.run import Frame
from pipelines.blend.words import encode_spot
from pipelines.generate.request import GenerateRequest
from pipelines.inputs import Input
from pipelines.studio import Reference, Studio
from pipelines.task import Event, Progress, Result, Sheet
from tests.support.jobs import events_of, pixels_of, results_in, results_of
from tests.support.tiny_models import photo, tiny_model

WORDS = ("dog", "tiger", "teapot", "beach")


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def cards(studio: Studio) -> list[SubjectEmbedding]:
    return studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(WORDS)])


def request(**values: object) -> BlendRequest:
    return BlendRequest(**{"prompt": "on a beach", "steps": 2, "frames": 5, "batch": 3, **values})  # type: ignore[arg-type]


def blended(
    studio: Studio, asked: BlendRequest, subjects: Sequence[Reference], weights: Sequence[float] = ()
) -> Iterator[Event]:
    given = [Input(one) for one in subjects]
    given[: len(weights)] = [replace(one, weight=weight) for one, weight in zip(given, weights, strict=False)]
    return events_of(studio, asked, subject=given)


def finished(studio: Studio, asked: BlendRequest, *rest: Any) -> list[Result]:
    return results_in(blended(studio, asked, *rest))


def frames_of(results: Sequence[Result]) -> list[Frame]:
    return [one.detail for one in results]


def alone(studio: Studio, subject: SubjectEmbedding, **values: object) -> np.ndarray:
    asked = GenerateRequest(
        **{"category": subject.category, "prompt": "on a beach", "count": 1, "steps": 2, **values}  # type: ignore[arg-type]
    )
    return pixels_of(results_of(studio, asked, subject=subject)[0])


@pytest.mark.parametrize("spacing", ["perceptual", "even"])
@pytest.mark.parametrize("categories", ["smooth", "joined", "heaviest"])
def test_the_ends_of_a_path_are_the_subjects_own_pictures_bit_for_bit(
    studio: Studio, cards: list[SubjectEmbedding], spacing: str, categories: str
) -> None:
    path = finished(studio, request(spacing=spacing, categories=categories, seed=4), cards[:2])
    assert np.array_equal(pixels_of(path[0]), alone(studio, cards[0], seed=4))
    assert np.array_equal(pixels_of(path[-1]), alone(studio, cards[1], seed=4))
    assert not np.array_equal(pixels_of(path[2]), pixels_of(path[0]))


def test_a_path_through_three_subjects_passes_the_middle_one_itself(
    studio: Studio, cards: list[SubjectEmbedding]
) -> None:
    path = finished(studio, request(spacing="even"), cards[:3])
    assert [frame.position for frame in frames_of(path)] == [0, 0.5, 1, 1.5, 2]
    assert np.array_equal(pixels_of(path[2]), alone(studio, cards[1]))


def test_frames_come_in_order_with_distances_that_are_theirs(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    events = list(blended(studio, request(frames=8), cards[:2]))
    results = results_in(events)
    positions = [frame.position for frame in frames_of(results)]
    assert positions == sorted(positions) and len(set(positions)) == 8
    assert [one.picture.index for one in results] == list(range(8))
    *distances, last = (frame.distance for frame in frames_of(results))
    assert distances == neighbour_distances([one.picture.image for one in results])
    assert last is None
    steps = [event for event in events if isinstance(event, Progress)]
    assert [event.step for event in steps] == list(range(1, steps[-1].steps + 1))
    assert [event.kind for event in events if isinstance(event, Sheet)] == ["grid", "film"]


def test_a_batched_frame_is_its_single_picture_to_rounding(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    frame = finished(studio, request(spacing="even"), cards[:2])[1]
    (single,) = finished(studio, request(shape="one"), cards[:2], [3, 1])
    assert frame.detail.shares == single.detail.shares == (0.75, 0.25)
    assert np.abs(pixels_of(frame).astype(int) - pixels_of(single)).max() <= 1


def test_permuting_the_subjects_permutes_the_weights_only(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    for how in ("linear", "spherical", "token-wise"):
        asked = request(how=how, shape="one", categories="smooth")
        row, _ = encode_spot(studio.model, asked, cards[:3], (0.2, 0.3, 0.5))
        turned, _ = encode_spot(studio.model, asked, [cards[2], cards[0], cards[1]], (0.5, 0.2, 0.3))
        assert torch.allclose(row.embeddings, turned.embeddings, atol=1e-5)


def test_smooth_words_have_no_jump_where_others_do(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    def jump(categories: str) -> float:
        rows = [
            encode_spot(studio.model, request(categories=categories), cards[:2], (1 - share, share))[0].embeddings
            for share in (0.499, 0.501)
        ]
        return float((rows[1] - rows[0]).abs().max())

    assert jump("smooth") < 0.1 * jump("heaviest")


def test_a_prompt_becomes_another_along_the_path(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    asked = request(prompt_to="in the snow", spacing="even")
    path = finished(studio, asked, cards[:2])
    assert np.array_equal(pixels_of(path[-1]), alone(studio, cards[1], prompt="in the snow"))
    middle, _ = encode_spot(studio.model, asked, cards[:2], (0.5, 0.5), 0.5)
    still, _ = encode_spot(studio.model, request(), cards[:2], (0.5, 0.5), 0.5)
    assert not torch.allclose(middle.embeddings, still.embeddings)


def test_a_map_is_a_triangle_of_three_and_a_square_of_four(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    triangle = finished(studio, request(shape="map", side=3, steps=1), cards[:3])
    assert [(frame.row, frame.column) for frame in frames_of(triangle)] == [
        (0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2),
    ]  # fmt: skip
    square = finished(studio, request(shape="map", side=2, steps=1), cards)
    assert [one.label for one in square] == [f"100% {word}" for word in WORDS]
    assert np.array_equal(pixels_of(square[2]), alone(studio, cards[2], steps=1))


def test_every_subject_is_encoded_once_and_every_frame(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, counts = Studio(studio.model), {"photos": 0, "rows": 0}
    encoder, text = type(studio.model.subject_encoder), type(studio.model.text_encoder)
    for kind, name in ((encoder, "photos"), (text, "rows")):
        forward = kind.forward

        def counted(self: object, first: torch.Tensor, *rest: object, forward=forward, name=name) -> object:
            counts[name] += len(first)
            return forward(self, first, *rest)

        monkeypatch.setattr(kind, "forward", counted)
    finished(fresh, request(target="teapot"), [SubjectPhoto(photo(seed), WORDS[seed]) for seed in (0, 1)])
    assert counts == {"photos": 2, "rows": 5 + 2}  # the frames, the negative prompt, and one to check the sizes


def test_an_extrapolation_says_so(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    path = finished(studio, request(extrapolation=0.3, spacing="even"), cards[:2])
    assert path[0].detail.shares == pytest.approx((1.3, -0.3))
    assert path[0].label == "130% dog - 30% tiger (extrapolated)"
    assert path[0].picture.job["detail"]["extrapolation"] == pytest.approx(0.3)
    assert "extrapolation" not in path[2].picture.job["detail"]


def test_labels_tell_subjects_of_one_category_apart(cards: list[SubjectEmbedding]) -> None:
    two = [cards[0], replace(cards[1], category="dog")]
    assert label_of(two, (0.25, 0.75)) == "75% dog B + 25% dog A"
    assert label_of(cards[:2], (1.0, 0.0)) == "100% dog"


@pytest.mark.parametrize(
    ("values", "count", "weights", "error", "told"),
    [
        ({}, 1, (), SubjectError, "2 to 4 subjects; 1 was"),
        ({"shape": "map"}, 2, (), SubjectError, "3 to 4"),
        ({"shape": "one"}, 2, [0, 0], ConfigError, "one above 0"),
        ({"shape": "one"}, 2, [-1, 2], ConfigError, "0 or more"),
        ({"shape": "one"}, 2, [float("nan"), 2], ConfigError, "nan"),
        ({"shape": "one"}, 2, [1], ConfigError, "one each"),
        ({"shape": "one", "extrapolation": 0.5}, 2, [-1, 2], ConfigError, "by 50%"),
        ({}, 2, [1, 1], ConfigError, "own weights"),
        ({"width": 9}, 2, (), ConfigError, "width is 9"),
    ],
)
def test_what_cannot_be_blended_is_refused_before_anything_is_drawn(
    studio: Studio, cards: list[SubjectEmbedding], values, count, weights, error, told
) -> None:
    with pytest.raises(error, match=told):
        next(blended(studio, request(**values), cards[:count], weights))


@pytest.mark.parametrize(
    "values",
    [
        {"shape": "ring"},
        {"how": "cubic"},
        {"extrapolation": 2.0},
        {"extrapolation": 0.5, "how": "token-wise"},
        {"extrapolation": 0.5, "shape": "map"},
        {"prompt_to": "in the snow", "shape": "one"},
        {"frames": 1},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(values) -> None:
    with pytest.raises(ConfigError):
        request(**values)
    with pytest.raises(PromptError):
        request(target=" ")


def test_another_models_card_is_refused(studio: Studio, cards: list[SubjectEmbedding]) -> None:
    with pytest.raises(BlipdiffError, match="another-model"):
        next(blended(studio, request(), [cards[0], replace(cards[1], fingerprint="another-model")]))
