"""Only a page that is opened on the machine itself may fetch models and change settings."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.ui.visits import is_at_the_machine


def visit(host: str | None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(client=None if host is None else SimpleNamespace(host=host), headers=named)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1"])
def test_this_machine_is_let_in(host: str) -> None:
    assert is_at_the_machine(visit(host))


@pytest.mark.parametrize("host", ["192.168.1.7", "10.0.0.1", "2001:db8::1"])
def test_others_are_not(host: str) -> None:
    assert not is_at_the_machine(visit(host))


@pytest.mark.parametrize("name", ["forwarded", "x_forwarded_for", "x_real_ip", "via"])
def test_nor_is_what_is_passed_on_from_elsewhere(name: str) -> None:
    assert not is_at_the_machine(visit("127.0.0.1", **{name: "203.0.113.9"}))


def test_nor_is_who_cannot_be_told() -> None:
    assert not is_at_the_machine(visit(None))
