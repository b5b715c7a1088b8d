"""The damage itself: it is never nothing for long, and the same in every run."""

import json

from hypothesis import Phase, given, settings

from tests.fuzz.mutations import damaged_bytes, damaged_json, places_in

WHOLE = {"a": [1, 2.5, {"b": "text"}], "c": None, "d": True}


def test_most_damage_changes_something_and_every_run_has_the_same() -> None:
    def drawn() -> list[tuple[bytes, str]]:
        seen: list[tuple[bytes, str]] = []

        @settings(max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
        @given(damaged_bytes(b"0123456789" * 30), damaged_json(WHOLE))
        def every(data: bytes, value: object) -> None:
            seen.append((data, json.dumps(value)))

        every()
        return seen

    first = drawn()
    assert first == drawn()
    assert sum(data != b"0123456789" * 30 for data, _ in first) > 40
    assert sum(text != json.dumps(WHOLE) for _, text in first) > 40
    assert WHOLE == {"a": [1, 2.5, {"b": "text"}], "c": None, "d": True}


def test_every_value_has_its_place() -> None:
    assert set(places_in(WHOLE)) == {(), ("a",), ("a", 0), ("a", 1), ("a", 2), ("a", 2, "b"), ("c",), ("d",)}
