"""Values that the command line cannot use: each is named with what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from blipdiff.ranges import LARGEST_SEED
from tests.support.command_line import Command
from tests.support.refusals import assert_not_understood, assert_refused

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", -1), "Seed is -1"),
        (("--seed", 2**63), "Seed is 9223372036854775808"),
        (("--seed", LARGEST_SEED, "--count", 2), "pass the largest seed"),
        (("--seed", "9" * 400), "Seed is 999"),
        (("--count", 0), "Pictures is 0"),
        (("--count", 65), "Pictures is 65"),
        (("--steps", 0), "Steps is 0"),
        (("--steps", 1001), "Steps is 1001"),
        (("--guidance", "nan"), "Guidance is nan"),
        (("--guidance", "inf"), "Guidance is inf"),
        (("--guidance", -1), "Guidance is -1"),
        (("--guidance-start", 0.6, "--guidance-stop", 0.5), "0 <= start <= stop <= 1"),
        (("--guidance-stop", 1.1), "Guidance stop is 1.1"),
        (("--repeats", 0), "Prompt repeats is 0"),
        (("--batch", 0), "Batch is 0"),
        (("--size", "65x64"), "Width is 65"),
        (("--size", "17x16"), "multiples of 2. Nearest: 16 or 18"),
        (("--size", "16x19"), "The height is 19"),
        (("--size", "0x0"), "Width is 0"),
        (("--size", "8192x16"), "Width is 8192"),
        (("--size", "large"), "write it as WIDTHxHEIGHT"),
        (("--size", "16x16x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "16x"), "write it as WIDTHxHEIGHT"),
        (("--size", "-16x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "1e2x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "9" * 5_000), "write it as WIDTHxHEIGHT"),
        (("--size", ""), "write it as WIDTHxHEIGHT"),
        (("--weight", "nan"), "weights [nan]"),
        (("--weight", -1), "weights [-1.0]"),
        (("--weight", 0), "weights [0.0]"),
        (("--weight", 1, "--weight", 2), "1 subjects were given with 2 weights"),
        (("--scheduler", "ddpm"), "choose one of: pndm, ddim"),
        (("--fit", "stretch"), "choose one of: crop, pad, squash"),
        (("--device", "tpu"), "The device 'tpu' is not known"),
        (("--device", "meta"), "The device 'meta' is not available"),
        (("--dtype", "int8"), "The dtype 'int8' is not known"),
    ],
    ids=lambda value: "-".join(str(part)[:12] for part in value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_values_out_of_range_are_named_with_what_is_allowed(
    arguments: tuple[Any, ...], words: str, generate: Command
) -> None:
    if arguments[0] == "--size" and "65" in arguments[1]:
        words = "multiples of 2"
    assert_refused(generate(*arguments), words)


@pytest.mark.parametrize("option", ["--seed", "--count", "--steps", "--guidance", "--batch", "--repeats", "--weight"])
@pytest.mark.parametrize("value", ["many", "", "0x10", "1,5"])
def test_words_are_no_numbers(option: str, value: str, generate: Command) -> None:
    assert_not_understood(generate(option, value), f"Invalid value for '{option}'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Draw pictures"),
        (("draw",), "No such command 'draw'"),
        (("generate", "--colour", "red"), "No such option: --colour"),
        (("generate", "--seed"), "--seed"),
        (("generate", "dog.png"), "--subject dog.png"),
        (("encode",), "Missing argument"),
        (("convert", "mini"), "Missing argument"),
    ],
)
def test_a_command_that_is_not_understood_is_explained(
    arguments: tuple[str, ...], words: str, blipdiff: Command
) -> None:
    ended = blipdiff(*arguments)
    assert ended.code == 2
    assert words.lower() in (ended.err + ended.out).lower()
    assert "Traceback" not in ended.err


def test_no_subject_is_asked_for(blipdiff: Command) -> None:
    assert_refused(blipdiff("generate", "--prompt", "on a beach"), "add --subject")


def test_a_weight_that_is_no_number_is_refused_among_several(generate: Command, dog: Path) -> None:
    two = ("--subject", dog, "--subject", dog)
    for weight in ("nan", "inf", "-1"):
        assert_refused(generate(*two, "--weight", 1, "--weight", weight), "each must be 0 or more")
    assert_refused(generate(*two, "--weight", 0, "--weight", 0), "one above 0")
    assert_refused(generate(*two, "--weight", 1), "2 subjects were given with 1 weights")
