"""Shown: what a picture shows, by the job that drew it, for whatever draws the picture further."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Words by the names that a request of one subject has for them, and the inputs that show the subject.

    words: those that differ from what the request holds under the same names; subjects: `pipelines.inputs.Input`
    """

    words: Mapping[str, Any] = field(default_factory=dict)
    subjects: tuple[Any, ...] = ()
