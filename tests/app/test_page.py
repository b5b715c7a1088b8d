"""The forms of the page <-> requests, and their controls, without a browser."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import pytest

from app.jobs.facts import Facts
from app.ui import markup
from app.ui.form import Form
from app.ui.room import about
from app.ui.tabs.generate import differences
from blipdiff.errors import ConfigError, PromptError
from blipdiff.models.identity import Addition
from blipdiff.ranges import LARGEST_SEED
from pipelines.edit.request import EditRequest
from pipelines.generate.request import GenerateRequest
from pipelines.parameters import parameter, parameters
from pipelines.requests import Sampling
from pipelines.studio import Studio
from pipelines.task import tasks
from tests.support.tiny_models import tiny_model

OWN = {"guidance": 7.5}


def placed(kind: type = GenerateRequest, own: dict[str, Any] | None = None, **how: Any) -> Form:
    """A form with all its controls."""
    form = Form(kind, "field", OWN if own is None else own, **how)
    with gr.Blocks():
        form.place_settings("settings")
    return form


def typed(form: Form, random_seed: bool = False, **changes: Any) -> list[Any]:
    """The form as it starts, with a category, and these fields changed."""
    found = {name: control.value for name, control in form.controls.items()} | {"category": "dog"} | changes
    return [*found.values(), random_seed]


def asked(random_seed: bool = True, **changes: Any) -> GenerateRequest:
    form = placed()
    request: GenerateRequest = form.request(typed(form, random_seed, **changes))
    return request


def test_the_form_as_it_starts_asks_for_the_defaults() -> None:
    assert asked(random_seed=False) == GenerateRequest(category="dog", guidance=7.5)


def test_a_request_fills_the_form_and_is_read_back() -> None:
    request = GenerateRequest(
        category="teapot", prompt="on the moon", target="kettle", seed=LARGEST_SEED - 7, steps=7, width=64, guidance=2.5
    )
    form = placed()
    shown = form.filled(request)
    assert form.request([shown[control] for control in form.inputs]) == request


def test_a_random_seed_is_drawn_for_every_run_whatever_the_field_says() -> None:
    seeds = {asked(seed="no number").seed for _ in range(8)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "7e3", "abc", "²", str(LARGEST_SEED + 1), "9" * 5000, None])
def test_a_seed_that_is_none_is_refused_in_a_sentence(seed: str | None) -> None:
    with pytest.raises(ConfigError, match="Seed") as raised:
        asked(random_seed=False, seed=seed)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", None),
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
        asked(**{name: value})


def test_an_empty_category_and_control_characters_are_refused() -> None:
    with pytest.raises(PromptError, match="category is empty"):
        asked(category=" ")
    with pytest.raises(PromptError, match="control character"):
        asked(prompt="on\x00a beach")


def test_empty_fields_stand_for_the_models_own() -> None:
    request = asked(width=" ", height="", target="  ")
    assert (request.width, request.height, request.target) == (None, None, None)


def test_an_edits_fields_give_back_its_defaults_and_what_is_no_number_is_named() -> None:
    form = placed(EditRequest, {"guidance": 3.0, "keep_background": True}, without=("source",))
    names = ("seed", "guidance", "strength", "cross_stop", "width", "negative", "blend_words", "local_blend")
    default = EditRequest(source="cat", guidance=3.0, keep_background=True)
    assert form.request(typed(form, category=""), source="cat") == default
    given = {"seed": "7", "cross_stop": " 0.25 ", "width": "64", "blend_words": "both", "keep_background": False}
    values = form.values(typed(form, **given))
    assert {name: values[name] for name in given} == {
        "seed": 7, "cross_stop": 0.25, "width": 64, "blend_words": "both", "keep_background": False,
    }  # fmt: skip
    assert set(names) <= set(values)
    with pytest.raises(ConfigError, match="Places kept until is 'half'"):
        form.values(typed(form, cross_stop="half"))
    with pytest.raises(ConfigError, match="Guidance is empty"):
        form.values(typed(form, guidance=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryKind(Sampling):
    """A parameter of each kind that there is."""

    free: float = parameter(0.5, "Free", "A number without a range.")
    switch: bool | None = parameter(None, "Switch", "Yes, no, or as usual.")
    several: tuple[str, ...] = parameter(("a",), "Several", "Of these.", choices=("a", "b"), group="Own group")
    words: tuple[str, ...] = parameter((), "Words", "Any.", group="Own group")


def test_every_kind_of_parameter_has_a_control_and_comes_back() -> None:
    form = placed(EveryKind, {})
    default = EveryKind()
    assert form.request([control.value for control in form.inputs]) == default
    request = EveryKind(free=2.0, switch=False, several=("a", "b"), words=("one", "two"), width=64)
    shown = form.filled(request)
    assert form.request([shown[control] for control in form.inputs]) == request


@pytest.mark.parametrize("name", list(tasks()))
def test_every_parameter_has_a_control_made_from_its_declaration(name: str) -> None:
    kind = tasks()[name].request
    form = placed(kind)
    assert list(form.controls) and set(form.controls) == set(parameters(kind))
    for field, declared in parameters(kind).items():
        made = form.controls[field]
        assert (made.label, made.info) == (declared.label, declared.help)
        if isinstance(made, gr.Slider):
            assert (made.minimum, made.maximum, made.step) == (declared.low, declared.high, declared.step)
        if declared.choices:
            assert [choice for _, choice in made.choices if choice] == list(declared.choices)


def test_the_line_about_the_authors_names_each_differing_value() -> None:
    request = GenerateRequest(category="dog")
    for theirs, ours in (("pndm", request.scheduler), ("crop", request.fit), ("20", str(request.repeats))):
        assert (f"(theirs: {theirs})" in differences()) == (theirs != ours)


def test_the_page_says_what_its_model_is_for_in_one_line() -> None:
    assert 'class="purpose">Only &lt;drawn&gt; things.</p>' in markup.heading({}, "Only <drawn> things.")
    assert "purpose" not in markup.heading({"Model": "tiny"})


def test_the_page_says_what_goes_on_the_model_and_which_words_call_it_up() -> None:
    chalk = Addition("LoRA", "<chalk>", 0.8, "aa", ("chalk drawing",))
    shown = about(Facts.of(Studio(replace(tiny_model(), additions=(chalk,)))))
    assert shown == "With LoRA <chalk> at 0.8. LoRA <chalk> knows the words: chalk drawing."
    assert "&lt;chalk&gt; at 0.8" in markup.heading({}, shown or "")
