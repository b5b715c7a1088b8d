"""What can be asked for: every declared range is a range, and nothing else passes."""

import json
from dataclasses import asdict, fields
from typing import Any

import pytest

from blipdiff.errors import BlipdiffError, ConfigError, PromptError
from blipdiff.ranges import AS_CONFIGURED, LARGEST_SEED, SCHEDULER_NAMES
from pipelines.edit_request import EditRequest
from pipelines.requests import LONGEST_CATEGORY, GenerateRequest, from_mapping, parameters, request_from
from pipelines.stylize_request import ControlSettings

DECLARED = parameters(GenerateRequest)
NUMBERS = [name for name, declared in DECLARED.items() if declared.low is not None]
WHOLE = [name for name in NUMBERS if isinstance(DECLARED[name].step, int) or name == "seed"]
TOGETHER = {"guidance_start": {"guidance_stop": 1.0}, "guidance_stop": {"guidance_start": 0.0}, "seed": {"count": 1}}


def request(**changes: Any) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog"} | changes)


def test_every_field_is_a_declared_parameter_with_words_for_people() -> None:
    assert [item.name for item in fields(GenerateRequest)] == list(DECLARED)
    assert all(declared.label and declared.help.endswith(".") for declared in DECLARED.values())
    assert len({declared.label for declared in DECLARED.values()}) == len(DECLARED)
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
    if name in ("target", "guidance", "width", "height"):
        assert getattr(request(**{name: None}), name) is None
    else:
        with pytest.raises(BlipdiffError):
            request(**{name: None})


@pytest.mark.parametrize("name", [name for name, declared in DECLARED.items() if declared.choices])
def test_a_choice_is_one_of_those_that_are_named(name: str) -> None:
    for choice in DECLARED[name].choices:
        assert getattr(request(**{name: choice}), name) == choice
    for wrong in ("", "other", 1, [], {"a": 1}):
        with pytest.raises(ConfigError, match="choose one of"):
            request(**{name: wrong})


def test_schedulers_are_offered_by_the_names_that_exist() -> None:
    assert DECLARED["scheduler"].choices == (*SCHEDULER_NAMES, AS_CONFIGURED)


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
    assert from_mapping(json.loads(json.dumps(asdict(whole)))) == whole


def test_keys_of_another_version_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="does not know: colour, weather"):
        from_mapping({"category": "dog", "weather": "fine", "colour": "red"})
    with pytest.raises(PromptError):
        from_mapping({})


def test_a_request_is_a_value() -> None:
    assert request() == request()
    assert hash(request()) == hash(request())
    with pytest.raises(AttributeError):
        request().count = 5  # type: ignore[misc]


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
