"""What can be asked for: every declared range is a range, and nothing else passes."""

import json
from dataclasses import dataclass, fields
from typing import Any

import pytest

from blipdiff.errors import BlipdiffError, ConfigError, PromptError
from blipdiff.ranges import AS_CONFIGURED, EVEN_STEPS, LARGEST_SEED, SCHEDULER_NAMES, TABLED_NAMES
from pipelines.blend.request import BlendRequest
from pipelines.controls.settings import ControlSettings
from pipelines.declarations import declared, left_out
from pipelines.edit.request import EditRequest
from pipelines.evaluate.requests import (
    BlendingRequest,
    EditEvaluationRequest,
    EvaluateRequest,
    InversionEvaluationRequest,
    StructureRequest,
)
from pipelines.finish.request import RedrawRequest, RemoveBackgroundRequest, UpscaleRequest
from pipelines.generate.request import AttendRequest, GenerateRequest
from pipelines.grid.request import GridRequest
from pipelines.parameters import LONGEST_CATEGORY, is_whole, parameters, plain, request_from
from pipelines.personalize.request import PersonalizeRequest
from pipelines.requests import Sampling, likely_steps, random_seed
from pipelines.scene.request import SceneRequest
from pipelines.stylize.request import StylizeRequest
from pipelines.task import tasks

DECLARED = parameters(GenerateRequest)
NUMBERS = [name for name, one in DECLARED.items() if one.low is not None]
WHOLE = [name for name in NUMBERS if is_whole(DECLARED[name])]
TOGETHER = {
    "best": {"count": 64},
    "guidance_start": {"guidance_stop": 1.0},
    "guidance_stop": {"guidance_start": 0.0},
    "seed": {"count": 1},
}


def request(**changes: Any) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog"} | changes)


def test_every_field_is_a_declared_parameter_with_words_for_people() -> None:
    told_by_pictures = ("step_table", "variation_of")  # nobody is asked for it
    assert [item.name for item in fields(GenerateRequest) if item.name not in told_by_pictures] == list(DECLARED)
    assert all(one.label and one.help.endswith(".") for one in DECLARED.values())
    assert len({one.label for one in DECLARED.values()}) == len(DECLARED)
    assert {"seed", "count", "steps", "guidance", "width", "height", "batch"} <= set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_passes_to_its_very_ends_and_no_further(name: str) -> None:
    low, high = DECLARED[name].low, DECLARED[name].high
    assert low is not None
    assert high is not None
    for value in (low, high):
        assert getattr(request(**TOGETHER.get(name, {}), **{name: value}), name) == value
    small = 1 if name in WHOLE else 1e-9 * max(1.0, high)
    for value in (low - small, high + small, -(10**30), 10**400):
        with pytest.raises(ConfigError, match=f"{DECLARED[name].label} is .*goes from"):
            request(**TOGETHER.get(name, {}), **{name: value})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["7", True, [7], {}, float("nan"), float("inf"), b"7", 7 + 0j])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=DECLARED[name].label):
        request(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
def test_a_fraction_is_no_whole_number(name: str) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        request(**{name: 8.0})


@pytest.mark.parametrize("name", [item.name for item in fields(GenerateRequest)])
def test_none_stands_only_where_the_model_has_a_default(name: str) -> None:
    if name in ("target", "guidance", "width", "height", "steps", "scheduler", "detail"):
        assert getattr(request(**{name: None}), name) is None
    else:
        with pytest.raises(BlipdiffError):
            request(**{name: None})


@pytest.mark.parametrize("name", [name for name, one in DECLARED.items() if one.choices])
def test_a_choice_is_one_of_those_that_are_named(name: str) -> None:
    for choice in DECLARED[name].choices:
        assert getattr(request(**{name: choice}), name) == choice
    for wrong in ("", "other", 1, [], {"a": 1}):
        with pytest.raises(ConfigError, match="choose one of"):
            request(**{name: wrong})


def test_schedulers_are_offered_by_the_names_that_exist() -> None:
    assert DECLARED["scheduler"].choices == (*SCHEDULER_NAMES, *TABLED_NAMES, AS_CONFIGURED)


@pytest.mark.parametrize("name", ["category", "target"])
def test_a_category_is_a_word_or_two(name: str) -> None:
    assert getattr(request(**{name: "x" * LONGEST_CATEGORY}), name)
    for wrong in ("", "  ", "\x07", "x" * (LONGEST_CATEGORY + 1), 5, ["dog"]):
        with pytest.raises(PromptError):
            request(**{name: wrong})


@pytest.mark.parametrize("name", ["prompt", "negative"])
def test_a_prompt_is_any_text_without_control_characters(name: str) -> None:
    for text in ("", "x" * 10_000, "🐶\nüber\tשלום"):
        assert getattr(request(**{name: text}), name) == text
    for wrong in ("\x00", "\ud800", "\x7f", 5, None, ["a"]):
        with pytest.raises(PromptError):
            request(**{name: wrong})


def test_each_picture_has_its_own_seed_and_none_passes_the_largest() -> None:
    assert request(seed=7, count=3).seeds() == (7, 8, 9)
    assert request(seed=LARGEST_SEED - 1, count=2).seeds()[-1] == LARGEST_SEED
    with pytest.raises(ConfigError, match="pass the largest seed"):
        request(seed=LARGEST_SEED - 1, count=3)


def test_the_window_of_guidance_runs_forward() -> None:
    assert request(guidance_start=0.5, guidance_stop=0.5)
    with pytest.raises(ConfigError, match="start <= stop"):
        request(guidance_start=0.6, guidance_stop=0.5)


def test_a_request_survives_json() -> None:
    whole = request(
        prompt="über 🏖️", target="tiger", negative="snow", count=3, seed=LARGEST_SEED - 9, width=16, guidance=0.1
    )
    assert request_from(GenerateRequest, json.loads(json.dumps(plain(whole)))) == whole


def test_keys_of_another_version_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="does not know: colour, weather"):
        request_from(GenerateRequest, {"category": "dog", "weather": "fine", "colour": "red"})
    with pytest.raises(PromptError):
        request_from(GenerateRequest, {})


def test_a_request_is_a_value() -> None:
    assert request() == request()
    assert hash(request()) == hash(request())
    with pytest.raises(AttributeError):
        request().count = 5  # type: ignore[misc]


DRAWING: list[Any] = [
    GenerateRequest(category="dog", target="tiger", guidance=3.0),
    AttendRequest(category="dog", each=True),
    StylizeRequest(
        category="dog",
        blocks="look",
        controls=(ControlSettings(strength=0.3, start=0.1, map_settings={"low": 20.0}), ControlSettings(guess=True)),
    ),
    EditRequest(source="dog", from_prompt=True, mask_threshold=0.2, controls=(ControlSettings(),)),
    BlendRequest(frames=3, film=("gif", "mp4"), how="token-wise"),
    SceneRequest(prompt="a {dog}", tiles_until=0.25, controls=(ControlSettings(control="mini-depth"),)),
    UpscaleRequest(times=1.5, strength=0.4),
    RedrawRequest(prompt="at night", softness=0.3),
    RemoveBackgroundRequest(trim=True),
    PersonalizeRequest(category="dog", method="full", steps=40, rank_falls=True),
    GridRequest(job={"task": "generate", "request": {"category": "dog"}}, x="steps=2,3", y="guidance=1,3"),
]


def test_all_tasks_are_listed_here() -> None:
    assert {task.request for task in tasks().values()} == {type(one) for one in DRAWING}


@pytest.mark.parametrize("one", DRAWING, ids=lambda one: type(one).__name__)
def test_every_request_survives_json_whole(one: Any) -> None:
    told = json.loads(json.dumps(plain(one)))
    assert request_from(type(one), told) == one
    with pytest.raises(ConfigError, match="does not know: surprise"):
        request_from(type(one), told | {"surprise": 1})


@pytest.mark.parametrize(
    "one", [one for one in DRAWING if isinstance(one, Sampling)], ids=lambda one: type(one).__name__
)
def test_every_request_that_samples_is_checked_and_every_parameter_has_a_place_and_words(one: Any) -> None:
    for name, told in parameters(type(one)).items():
        assert told.label and told.help.endswith("."), name
    labels = [told.label for told in parameters(type(one)).values()]
    assert len(set(labels)) == len(labels)
    for wrong in ({"seed": -1}, {"steps": 0}, {"guidance": float("nan")}, {"width": 7}, {"negative": "\x00"}):
        with pytest.raises(BlipdiffError):
            request_from(type(one), plain(one) | wrong)
    with pytest.raises(ConfigError, match="start <= stop"):
        request_from(type(one), plain(one) | {"guidance_start": 0.6, "guidance_stop": 0.5})


def test_what_a_parameter_was_called_is_still_taken() -> None:
    edit = request_from(EditRequest, {"source": "dog", "from_prompt": True, "blend": 0.2})
    assert edit.mask_threshold == 0.2
    blend = request_from(BlendRequest, {"words": "joined", "beyond": 0.5, "how": "linear"})
    assert (blend.categories, blend.extrapolation) == ("joined", 0.5)
    assert request_from(BlendRequest, {"how": "dealt"}).how == "token-wise"
    assert request_from(SceneRequest, {"prompt": "a {dog}", "own_frame_until": 0.75}).tiles_until == 0.75


def test_a_request_declares_anew_what_differs_and_leaves_out_what_it_has_no_use_for() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Own(Sampling):
        steps: int = declared("steps", default=7, help="Of this task.")
        count: int = left_out("count", 1)

    assert (Own().steps, Own().count) == (7, 1)
    told = parameters(Own)
    assert (told["steps"].help, told["steps"].high) == ("Of this task.", DECLARED["steps"].high)
    assert "count" not in told
    assert "count" not in plain(Own())
    with pytest.raises(TypeError):
        Own(count=2)
    with pytest.raises(ConfigError, match="does not know: count"):
        request_from(Own, {"count": 2})


def test_a_list_in_json_is_a_list_of_settings_or_refused() -> None:
    for wrong in ("ab", [1], [None], {"a": 1}, [{"surprise": 1}], [[]]):
        with pytest.raises(ConfigError):
            request_from(StylizeRequest, {"category": "dog", "controls": wrong})
    for wrong in ("webp", [1], {}, [["webp"]], ["avi"]):
        with pytest.raises(ConfigError):
            request_from(BlendRequest, {"film": wrong})


def test_random_seeds_differ_and_can_be_read_aloud() -> None:
    seeds = {random_seed() for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert all(request(seed=seed) for seed in seeds)


@pytest.mark.parametrize(
    "kind",
    [EvaluateRequest, EditEvaluationRequest, InversionEvaluationRequest, StructureRequest, BlendingRequest],
    ids=lambda kind: kind.__name__,
)
def test_evaluations_take_what_drawing_takes(kind: type[Any]) -> None:
    told = parameters(kind)
    assert (told["steps"].low, told["steps"].high) == (DECLARED["steps"].low, DECLARED["steps"].high)
    assert kind(seed=LARGEST_SEED).seed == LARGEST_SEED
    for wrong in ({"seed": LARGEST_SEED + 1}, {"seed": -1}, {"seed": 1.5}, {"steps": 0}):
        with pytest.raises(ConfigError):
            kind(**wrong)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (GenerateRequest, {"category": "dog", "prompt": None}, "Prompt must be text, not None"),
        (GenerateRequest, {"category": ["dog"]}, r"Category must be text, not \['dog'\]"),
        (EditRequest, {"source": None}, "From must be text"),
        (EditRequest, {"source": "dog", "target": 3}, "To must be text, not 3"),
        (EditRequest, {"source": "dog", "local_blend": "no"}, "Use a mask must be true or false, not 'no'"),
        (EditRequest, {"source": "dog", "keep_background": 1}, "Keep the background must be true or false"),
        (ControlSettings, {"control": ["mini-canny"]}, "Control must be text"),
        (ControlSettings, {"map_settings": ["low"]}, r"settings are \['low'\]; give each by its name"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_name(kind: type, values: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, PromptError), match=words):
        request_from(kind, values)


@pytest.mark.parametrize("value", [None, 3, True, [], {"a": 1}, "\ud800", "fast\n", "x" * 100_000])
def test_steps_that_a_picture_tells_are_a_fingerprint(value: Any) -> None:
    assert request_from(GenerateRequest, {"category": "dog", "step_table": "5823bd553c8684e9"}).step_table
    with pytest.raises(ConfigError, match="damaged: no steps are fitted as") as told:
        request_from(GenerateRequest, {"category": "dog", "step_table": value})
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("name", [*NUMBERS, "speed", "scheduler", "category", "weighting"])
@pytest.mark.parametrize("value", ["x" * 100_000, ["x"] * 100_000, 10**4000, -(10**4000), {"x" * 100_000: 1}])
def test_what_is_enormous_is_not_said_in_full(name: str, value: Any) -> None:
    with pytest.raises(BlipdiffError) as told:
        request_from(GenerateRequest, {"category": "dog", name: value})
    assert len(str(told.value)) < 400


def test_a_grid_takes_the_steps_of_its_jobs_speed() -> None:
    job = {"task": "generate", "request": {"category": "dog", "speed": "exact"}}
    assert likely_steps(GridRequest(job=job, x="guidance=1,2")) == EVEN_STEPS["exact"]
    assert likely_steps(GridRequest(job=job | {"request": {"category": "dog", "steps": 7}}, x="guidance=1,2")) == 7
