"""Controls of any request's parameters on a tab, and what was set there as the request's values."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import gradio as gr

from app.ui import parts
from blipdiff.errors import ConfigError
from pipelines.requests import parameters


class RequestForm:
    """The controls of some parameters of one kind of request; `prefix` keeps their names apart from other tabs'."""

    def __init__(self, kind: type, prefix: str, own: Mapping[str, Any] | None = None) -> None:
        self._declared, self._prefix = parameters(kind), prefix
        self._defaults = {item.name: item.default for item in fields(kind)} | dict(own or {})
        self.controls: dict[str, Any] = {}

    def place(self, *names: str, **looks: Any) -> None:
        """Puts the controls of these parameters in the current Blocks."""
        for name in names:
            declared, default = self._declared[name], self._defaults[name]
            shared = {"elem_id": f"{self._prefix}-{name}", **looks}
            if isinstance(default, bool):
                self.controls[name] = gr.Checkbox(default, label=declared.label, info=declared.help, **shared)
            else:
                self.controls[name] = parts.control(name, declared, default, **shared)

    def values(self, typed: Sequence[Any]) -> dict[str, Any]:
        """The parameters' values, from those of the controls in their order.

        Raises: ConfigError for a number that is empty or malformed.
        """
        return {name: self._value(name, value) for name, value in zip(self.controls, typed, strict=True)}

    def _value(self, name: str, value: Any) -> Any:
        declared, default = self._declared[name], self._defaults[name]
        if value is None or (isinstance(value, str) and not value.strip()):
            if default is None or isinstance(default, str):
                return default
            raise ConfigError(f"{declared.label} is empty; give a value.")
        if not parts.is_typed_as_text(declared, default):
            return value
        try:
            return int(value) if isinstance(declared.step, int) or name == "seed" else float(value)
        except ValueError:
            raise ConfigError(f"{declared.label} is '{str(value)[:30]}'; give a number.") from None
