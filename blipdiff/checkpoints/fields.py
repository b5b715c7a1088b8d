"""What a value of a configuration may be: its kind, its range, its choices, checked before anything is built."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from blipdiff.errors import CheckpointError


class Rule(Protocol):
    """What one value may be."""

    @property
    def expected(self) -> str: ...  # "a whole number from 1 to 16"

    def holds(self, value: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; true and false are none, 3.0 is one."""

    low: int
    high: int

    @property
    def expected(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def holds(self, value: Any) -> bool:
        return _number(value) and value == int(value) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number."""

    low: float
    high: float

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def holds(self, value: Any) -> bool:
        return _number(value) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    expected: str = "true or false"

    def holds(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    names: tuple[Any, ...]

    @property
    def expected(self) -> str:
        return f"one of: {', '.join(map(str, self.names))}" if len(self.names) > 1 else str(self.names[0])

    def holds(self, value: Any) -> bool:
        return any(type(value) is type(name) and value == name for name in self.names)


@dataclass(frozen=True, slots=True)
class Row:
    """A list of such values."""

    of: Rule
    least: int = 1
    most: int = 10

    @property
    def expected(self) -> str:
        count = f"{self.least} to {self.most}" if self.least != self.most else f"{self.most}"
        return f"a list of {count} values, each {self.of.expected}"

    def holds(self, value: Any) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed and self.least <= len(value) <= self.most and all(self.of.holds(one) for one in value)


@dataclass(frozen=True, slots=True)
class Either:
    """One of several rules."""

    rules: tuple[Rule, ...]

    @property
    def expected(self) -> str:
        return ", or ".join(rule.expected for rule in self.rules)

    def holds(self, value: Any) -> bool:
        return any(rule.holds(value) for rule in self.rules)


NOTHING = Choice((None,))

Fields = Mapping[str, Rule]


def optional(rule: Rule) -> Either:
    """The rule, or nothing."""
    return Either((rule, NOTHING))


def each(rule: Rule, most: int = 10) -> Either:
    """One value for all blocks, or a list of one for each."""
    return Either((rule, Row(rule, 1, most)))


def only(value: Any) -> Choice:
    """This value alone: what else there is, this model does not take."""
    return Choice((value,))


def check(config: Mapping[str, Any], fields: Fields, where: str) -> None:
    """Passes when every value that the configuration gives is what its field may be.

    Raises: CheckpointError naming the field, its value and what was expected.
    """
    for name, rule in fields.items():
        if name in config and not rule.holds(config[name]):
            raise CheckpointError(f"'{name}' in {where} is {shown(config[name])}; expected {rule.expected}.")


def shown(value: Any) -> str:
    """A value as an error shows it: not longer than a line."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a number of {value.bit_length()} bits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: Any) -> bool:
    """Whether this is a finite number, and small enough that a float holds it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
