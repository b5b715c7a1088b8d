"""Jobs as text: what is large in them, photos and cards, is taken out and kept once for all jobs that share it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blipdiff.errors import ConfigError
from pipelines.job import Job

KEPT = "kept"  # the key under which a packed text names what was taken out
_LARGE = ("file", "picture", "rows", "tensors")  # the values of inputs that may be large
_LONGEST = 1000  # letters that stay where they are


@dataclass(frozen=True, slots=True)
class Packed:
    """A job as text, and the texts that were taken out of it by their hashes."""

    text: str
    contents: Mapping[str, str]

    @property
    def size(self) -> int:
        """Letters of all of it."""
        return len(self.text) + sum(map(len, self.contents.values()))


def packed(job: Job) -> Packed:
    """The job as the queue keeps it. Raises: ConfigError for one that names files of this machine."""
    contents: dict[str, str] = {}
    told = job.as_mapping()
    told["inputs"] = {name: [_taken_out(one, contents) for one in given] for name, given in told["inputs"].items()}
    return Packed(json.dumps(told, ensure_ascii=False), contents)


def unpacked(text: str, content: Callable[[str], str]) -> Job:
    """The job again; `content` gives what a hash stands for.

    Raises: ConfigError for a damaged one.
    """
    try:
        told = json.loads(text)
        told["inputs"] = {
            name: [_put_back(one, content) for one in given] for name, given in told.get("inputs", {}).items()
        }
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError("The job is damaged; ask for it again.") from error
    return Job.from_mapping(told)


def _taken_out(one: Mapping[str, Any], contents: dict[str, str]) -> dict[str, Any]:
    if "path" in one:
        raise ConfigError("A job in line holds its pictures, not their places; read the file first.")
    found: dict[str, Any] = {}
    for name, value in one.items():
        if name in _LARGE and len(value) > _LONGEST:
            key = hashlib.sha256(value.encode()).hexdigest()
            contents[key] = value
            found.setdefault(KEPT, {})[name] = key
        else:
            found[name] = _taken_out(value, contents) if name == "mask" else value
    return found


def _put_back(one: Mapping[str, Any], content: Callable[[str], str]) -> dict[str, Any]:
    found = {name: _put_back(value, content) if name == "mask" else value for name, value in one.items()}
    return found | {name: content(key) for name, key in found.pop(KEPT, {}).items()}
