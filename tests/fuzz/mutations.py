"""Damage: bytes and JSON as no program wrote them, made from such as one did."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = tuple[str | int, ...]

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)
_ODD = (
    None, True, False, 0, 1, -1, 2, 3, 7, 13, 31, -7, 0.5, -0.5, 1e-300, 1e308, -1e308, 10**5, 10**7, 2**31 - 1, 2**31,
    2**32, 2**63, 10**30, 10**400, float("nan"), float("inf"), float("-inf"),
    "", " ", "a", "0", "12", "nan", "../x", "/etc/passwd", "\x00", "\ud800", "é" * 300, "float16", "auto", "x" * 70_000,
    [], {}, [None], [[]], [0], [1, 2, 3], [-1], [float("nan")] * 3, [10**7] * 3, ["a"] * 4, {"a": 1}, {"": None},
)  # fmt: skip


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes, *, most: int = 3) -> bytes:
    """`whole` with a few bits, bytes, numbers or stretches changed, left out, doubled or put in; or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(("bit", "byte", "number", "cut", "leave out", "double", "zeros", "put in")))
        place = _place_in(draw, len(data))
        length = draw(st.sampled_from((1, 2, 4, 8, 16, 64, 300, 5000)))
        if kind == "bit" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == "number":
            width = draw(st.sampled_from((1, 2, 4, 8)))
            number = draw(st.sampled_from(_NUMBERS)) % 256**width
            data[place : place + width] = number.to_bytes(width, draw(st.sampled_from(("little", "big"))))
        elif kind == "cut":
            del data[place:]
        elif kind == "leave out":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        elif kind == "zeros":
            data[place : place + length] = bytes(min(length, max(len(data) - place, 0)))
        else:
            data[place:place] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)


@st.composite
def damaged_json(draw: st.DrawFn, whole: Any, *, most: int = 3) -> Any:
    """A JSON value with a few of its values replaced, left out, renamed, wrapped or exchanged."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, most))):
        places = places_in(value)
        place = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(("odd", "odd", "odd", "near", "leave out", "rename", "wrap", "other")))
        holder, key = _holder(value, place)
        if holder is None:
            value = copy.deepcopy(draw(st.sampled_from(_ODD))) if draw(st.integers(0, 9)) == 0 else value
        elif kind == "odd":
            holder[key] = copy.deepcopy(draw(st.sampled_from(_ODD)))
        elif kind == "near":
            holder[key] = _near(draw, holder[key])
        elif kind == "leave out":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "x", f"{key}_", str(key).upper())))] = holder.pop(key)
        elif kind == "wrap":
            holder[key] = draw(st.sampled_from(([holder[key]], {"a": holder[key]}, [holder[key]] * 3)))
        else:
            other, its_key = _holder(value, draw(st.sampled_from(places)))
            holder[key] = copy.deepcopy(value if other is None else other[its_key])
    return value


def damaged_text(whole: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file: mostly well-formed with odd values, sometimes not well-formed at all."""
    formed = damaged_json(whole).map(lambda value: json.dumps(value).encode())
    broken = damaged_bytes(json.dumps(whole, indent=1).encode())
    deep = st.sampled_from((b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"9" * 5000, b""))
    return st.one_of(formed, formed, formed, formed, formed, formed, broken, broken, deep)


def places_in(value: Any) -> list[Path]:
    """Where a value has values: the keys that lead to each, of the long lists only the first ones and the last."""
    found: list[Path] = [()]
    items: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    if len(items) > 40:
        items = [*items[:20], *items[-20:]]
    for key, inner in items:
        found += [(key, *path) for path in places_in(inner)]
    return found


def _holder(value: Any, place: Path) -> tuple[Any, Any]:
    if not place:
        return None, None
    for key in place[:-1]:
        value = value[key]
    return value, place[-1]


def _near(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        half = value // 2 if isinstance(value, int) else value / 2
        return draw(st.sampled_from((value + 1, value - 1, value * 2, half, -value, value * 1000, str(value))))
    if isinstance(value, str):
        return draw(st.sampled_from((value + "x", value[:-1], value.upper(), value * 50)))
    return draw(st.sampled_from((list(value)[::-1], list(value)[:1], list(value) * 2)))


def _place_in(draw: st.DrawFn, length: int) -> int:
    """A place among the bytes; half of the time near the start, where headers are."""
    if length == 0:
        return 0
    near = draw(st.booleans())
    return draw(st.integers(0, min(length, 256) - 1 if near else length - 1))
