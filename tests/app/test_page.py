"""The page's form <-> requests, and its controls, without a browser."""

from typing import Any

import gradio as gr
import pytest

from app.ui import form, markup, parts
from blipdiff.errors import ConfigError, PromptError
from blipdiff.ranges import LARGEST_SEED
from pipelines.requests import GenerateRequest, parameters


def typed(**changes: Any) -> dict[str, Any]:
    """The form as it starts, with a category, and these fields changed."""
    return {name: form.starting_value(name) for name in form.NAMES} | {"category": "dog"} | changes


def test_the_form_as_it_starts_asks_for_the_defaults() -> None:
    assert form.request_of(typed(), random_seed=False) == GenerateRequest(
        category="dog",
        guidance=form.starting_value("guidance"),  # a number where a request leaves it to the model
    )


def test_a_request_fills_the_form_and_is_read_back() -> None:
    request = GenerateRequest(
        category="teapot", prompt="on the moon", target="kettle", seed=LARGEST_SEED - 7, steps=7, width=64, guidance=2.5
    )
    assert form.request_of(form.values_of(request), random_seed=False) == request


def test_a_random_seed_is_drawn_for_every_run_whatever_the_field_says() -> None:
    seeds = {form.request_of(typed(seed="no number"), random_seed=True).seed for _ in range(8)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "7e3", "abc", "²", str(LARGEST_SEED + 1), "9" * 5000, None])
def test_a_seed_that_is_none_is_refused_in_a_sentence(seed: str | None) -> None:
    with pytest.raises(ConfigError, match="Seed") as raised:
        form.request_of(typed(seed=seed), random_seed=False)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", None),
        ("steps", 2.5),
        ("steps", 0),
        ("guidance", None),
        ("guidance", float("nan")),
        ("count", 65),
        ("width", "wide"),
        ("width", "4"),
        ("height", "-8"),
        ("scheduler", "magic"),
        ("fit", None),
    ],
)
def test_what_is_missing_malformed_or_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=parameters(GenerateRequest)[name].label):
        form.request_of(typed(**{name: value}), random_seed=True)


def test_an_empty_category_and_control_characters_are_refused() -> None:
    with pytest.raises(PromptError, match="category is empty"):
        form.request_of(typed(category=" "), random_seed=True)
    with pytest.raises(PromptError, match="control character"):
        form.request_of(typed(prompt="on\x00a beach"), random_seed=True)


def test_empty_fields_stand_for_the_models_own() -> None:
    request = form.request_of(typed(width=" ", height="", target="  "), random_seed=True)
    assert (request.width, request.height, request.target) == (None, None, None)


def test_a_picture_fills_the_form_from_its_own_seed() -> None:
    settings = {"category": "dog", "prompt": "in the snow", "seed": 7, "count": 4, "steps": 3, "subject": "AAAA"}
    values = form.values_from_picture({"request": settings, "seed": 9, "index": 2})
    assert (values["seed"], values["count"], values["prompt"], values["steps"]) == ("9", 4, "in the snow", 3)
    with pytest.raises(ConfigError, match="zoom"):
        form.values_from_picture({"request": {**settings, "zoom": 2}, "seed": 9, "index": 2})


def test_the_line_about_the_authors_names_each_differing_value() -> None:
    request = GenerateRequest(category="dog")
    for theirs, ours in (("pndm", request.scheduler), ("crop", request.fit), ("20", str(request.repeats))):
        assert (f"(theirs: {theirs})" in form.differences()) == (theirs != ours)


def test_every_parameter_has_a_control_made_from_its_declaration() -> None:
    for name, declared in parameters(GenerateRequest).items():
        made = parts.control(name, declared, form.starting_value(name))
        assert (made.label, made.info) == (declared.label, declared.help)
        if isinstance(made, gr.Slider):
            assert (made.minimum, made.maximum, made.step) == (declared.low, declared.high, declared.step)
        if declared.choices:
            assert [choice for _, choice in made.choices] == list(declared.choices)


def test_the_page_says_what_its_model_is_for_in_one_line() -> None:
    assert 'class="purpose">Only &lt;drawn&gt; things.</p>' in markup.heading(
        "mini", "cpu", "float32", "Only <drawn> things."
    )
    assert "purpose" not in markup.heading("tiny", "cpu", "float32", None)
