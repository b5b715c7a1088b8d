"""The form of any request: a control for each declared parameter, and what was set there as the request.

A parameter that a tab does not place by itself stands in its group, so that a new one is on the page by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr

from app.ui.components import Marks
from app.ui.texts import retold, said
from blipdiff.errors import ConfigError
from pipelines.parameters import PICTURES, SAMPLING, SUBJECT, WORDS, Parameter, parameters, request_from
from pipelines.requests import random_seed

_COMMON = ("", SUBJECT, WORDS, PICTURES, SAMPLING)  # groups that stand together under "Settings"
_MOST_PLACES = 200  # of a slider that a finger can still set
_LARGEST_EXACT = 2**53  # above it a browser's numbers are no longer whole
_MOST_DIGITS = 30
_NARROW = 190  # pixels of a control that stands beside others
_SWITCH = {"yes": True, "no": False}
_AS_USUAL = ("as usual", "")  # the choice that stands for None


class Form:
    """The controls of one kind of request.

    prefix: of the controls' elements; own: defaults of the page that are not the request's; without: what the tab
    itself gives; random_seed: whether a new seed is drawn for every run unless that is ticked off; tick: the name of
    that tick's element, where it is not the prefix's
    """

    def __init__(
        self,
        kind: type,
        prefix: str,
        own: Mapping[str, Any] | None = None,
        *,
        without: Sequence[str] = (),
        random_seed: bool = False,
        tick: str = "",
    ) -> None:
        self._kind, self._prefix, self._is_random = kind, prefix, random_seed
        self._tick = tick or f"{prefix}-random-seed"
        self._declared = {name: one for name, one in parameters(kind).items() if name not in without}
        self._requests_own = {item.name: item.default for item in fields(kind)}
        self._defaults = self._requests_own | {
            name: value for name, value in (own or {}).items() if name in self._declared
        }
        self._hints = get_type_hints(kind)
        self.controls: dict[str, Any] = {}
        self.random: Any = None  # the tick for a random seed, where there is a seed

    @property
    def inputs(self) -> list[Any]:
        """The controls in the order in which `request` reads them."""
        return [*self.controls.values(), *([] if self.random is None else [self.random])]

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """What a choice may be, by its name."""
        return {name: one.choices for name, one in self._declared.items() if one.choices}

    def __contains__(self, name: str) -> bool:
        return name in self._declared

    def place(self, *names: str, **looks: Any) -> None:
        """Puts the controls of these parameters in the current Blocks, those of them that there are."""
        for name in names:
            if name not in self._declared or name in self.controls:
                continue
            if name == "seed":
                self.random = gr.Checkbox(
                    self._is_random,
                    label="Random seed",
                    info="A new seed for every run.",
                    elem_id=self._tick,
                    min_width=_NARROW,
                )
            self.controls[name] = self._control(name, **{"elem_id": self._id(name), **looks})

    def use(self, name: str, control: Any) -> None:
        """Takes a control of the tab's own for a parameter."""
        self.controls[name] = control

    def place_settings(self, name: str, note: str = "", **looks: Mapping[str, Any]) -> None:
        """The parameters that are left, by their groups: the common ones together, those of a task's own alone.

        name: of the element that holds the common ones; looks: of single controls
        """
        groups: dict[str, list[str]] = {}
        for left, one in self._declared.items():
            if left not in self.controls:
                groups.setdefault(one.group, []).append(left)
        for title in [one for one in groups if one not in _COMMON]:
            with gr.Accordion(title, open=False):
                self._place_group(groups[title], looks)
        common = [one for one in _COMMON if one in groups]
        if common:
            with gr.Accordion("Settings", open=False, elem_id=name):
                if note:
                    gr.Markdown(note, elem_classes="hint")
                for title in common:
                    if title:
                        gr.Markdown(f"**{title}**", elem_classes="group")
                    self._place_group(groups[title], looks)

    def request(self, typed: Sequence[Any], **given: Any) -> Any:
        """The request that was typed, with what the tab gives; a seed is drawn where a random one is wanted.

        Raises: BlipdiffError for a value that is missing, malformed or out of range.
        """
        return request_from(self._kind, self.values(typed) | given)

    def values(self, typed: Sequence[Any]) -> dict[str, Any]:
        """What was typed, by the parameters' names. Raises: ConfigError for what is empty or malformed."""
        is_random = self.random is not None and typed[len(self.controls)]
        typed_by_name = dict(zip(self.controls, typed, strict=False))
        found = {
            name: self._value(name, value)
            for name, value in typed_by_name.items()
            if not (is_random and name == "seed")
        }
        return found | ({"seed": random_seed()} if is_random else {})

    def filled(self, request: Any) -> dict[Any, Any]:
        """The controls as they show a request."""
        found = {control: self._shown(name, getattr(request, name)) for name, control in self.controls.items()}
        return found | ({} if self.random is None else {self.random: False})

    def shown(self, values: Mapping[str, Any]) -> dict[Any, Any]:
        """The controls that show some of a request's values."""
        found = {
            self.controls[name]: self._shown(name, value) for name, value in values.items() if name in self.controls
        }
        return found | ({self.random: False} if self.random is not None and "seed" in values else {})

    def _id(self, name: str) -> str:
        return f"{self._prefix}-{name.replace('_', '-')}"

    def _place_group(self, names: Sequence[str], looks: Mapping[str, Mapping[str, Any]]) -> None:
        with gr.Row(elem_classes="group"):
            for name in names:
                self.place(name, min_width=_NARROW, **looks.get(name, {}))

    def _control(self, name: str, **looks: Any) -> Any:
        """What suits a parameter's kind. Numbers keep what was typed: the request checks their range."""
        declared, hint = self._declared[name], self._hints[name]
        value = self._shown(name, self._defaults[name])
        shared = {"label": declared.label, "info": declared.help, **looks}
        if get_origin(hint) is tuple and declared.choices:
            return Marks(list(declared.choices), value=value, **shared)
        if self._is(name, bool):
            if isinstance(value, bool):
                return gr.Checkbox(value, **shared)
            return gr.Dropdown([_AS_USUAL, *((one, one) for one in _SWITCH)], value=value, **shared)
        if declared.choices:
            more = [_AS_USUAL] if self._requests_own[name] is None else []
            return gr.Dropdown([*more, *((one, one) for one in declared.choices)], value=value, **shared)
        if self._is_number(name) and not self._is_text(name):
            if _slides(declared):
                return gr.Slider(declared.low, declared.high, value=value, step=declared.step or 1, **shared)
            return gr.Number(value=value, step=declared.step or 1, **shared)
        return gr.Textbox(value=value, **({"max_lines": 1} if self._is_text(name) else {}), **shared)

    def _is(self, name: str, *kinds: type) -> bool:
        hint = self._hints[name]
        return any(kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) for kind in kinds)

    def _is_number(self, name: str) -> bool:
        return self._is(name, int, float)

    def _is_text(self, name: str) -> bool:
        """Whether a number needs a text box: a browser's number box cannot be empty, nor exact above 2**53."""
        if not self._is_number(name):
            return False
        can_be_empty = self._requests_own[name] is None
        is_set = self._defaults[name] is not None and _slides(self._declared[name])
        return (can_be_empty and not is_set) or (self._declared[name].high or 0) > _LARGEST_EXACT

    def _shown(self, name: str, value: Any) -> Any:
        """A parameter's value as its control shows it."""
        if isinstance(value, list | tuple):
            return list(value) if self._declared[name].choices else ", ".join(map(str, value))
        if value is None:
            default = self._defaults[name]
            is_set = isinstance(default, bool) or (self._is_number(name) and not self._is_text(name))
            return default if is_set else ""
        if isinstance(value, bool) and not isinstance(self._defaults[name], bool):
            return next(said for said, meant in _SWITCH.items() if meant is value)
        return str(value) if self._is_text(name) or not isinstance(value, bool | int | float) else value

    def _value(self, name: str, typed: Any) -> Any:
        """A control's value as the request wants it; an empty text stands for a default of None."""
        declared = self._declared[name]
        if get_origin(self._hints[name]) is tuple:
            return tuple(one for text in _listed(typed) if (one := text.strip()))
        if typed is None or (isinstance(typed, str) and not typed.strip()):
            if self._requests_own[name] is None and (self._is_text(name) or not self._is_number(name)):
                return None
            if self._is(name, str) and not declared.choices:
                return ""
            raise ConfigError(said("{name} is empty; give a value.", name=retold(declared.label)))
        if self._is(name, bool) and isinstance(typed, str):
            return _SWITCH.get(typed, typed)
        return self._number(name, str(typed).strip()) if self._is_text(name) else typed

    def _number(self, name: str, text: str) -> float:
        label, is_whole = retold(self._declared[name].label), not self._is(name, float)
        if is_whole and (not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS):
            given = {"name": label, "text": text[:_MOST_DIGITS]}
            raise ConfigError(said("{name} is '{text}'; give a whole number of 0 or more.", **given))
        try:
            return int(text) if is_whole else float(text)
        except ValueError:
            given = {"name": label, "text": text[:_MOST_DIGITS]}
            raise ConfigError(said("{name} is '{text}'; give a number.", **given)) from None


def _listed(typed: Any) -> list[str]:
    return typed.split(",") if isinstance(typed, str) else list(typed or ())


def _slides(declared: Parameter) -> bool:
    low, high = declared.low, declared.high
    return low is not None and high is not None and (high - low) / (declared.step or 1) <= _MOST_PLACES
