"""Marks in prompts: what they mean in each of two ways, and what is a letter."""

import pytest

from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.weighting import WeightedText, plain_text, weighted
from blipdiff.errors import PromptError
from tests.support.tiny_models import tiny_model


def pieces(text: str, meaning: str = "a1111") -> list[tuple[str, float]]:
    found = weighted(text, meaning)
    given = ((found, 1.0),) if isinstance(found, str) else found.pieces
    return [(part, round(weight, 4)) for part, weight in given]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a dog", [("a dog", 1)]),
        ("a (red) dog", [("a ", 1), ("red", 1.1), (" dog", 1)]),
        ("a ((red)) dog", [("a ", 1), ("red", 1.21), (" dog", 1)]),
        ("a [red] dog", [("a ", 1), ("red", 0.9091), (" dog", 1)]),
        ("(red dog:1.3)", [("red dog", 1.3)]),
        ("(a (red:2) dog:0.5)", [("a ", 0.5), ("red", 1), (" dog", 0.5)]),
        ("(red: .5 )", [("red", 0.5)]),
        (r"a \(red\) dog", [("a (red) dog", 1)]),
        (r"a (\(red\):1.5) dog", [("a ", 1), ("(red)", 1.5), (" dog", 1)]),
        ("a) dog]", [("a) dog]", 1)]),
        ("a (red dog", [("a ", 1), ("red dog", 1.1)]),
        ("a [red dog", [("a ", 1), ("red dog", 0.9091)]),
        ("at 10:30", [("at 10:30", 1)]),
        ("at 10:30)", [("at 10:30)", 1)]),
        ("(red:strong)", [("red:strong", 1.1)]),
        ("()", [("", 1)]),
        ("word++ dog-", [("word++ dog-", 1)]),
    ],
)
def test_marks_as_a1111_reads_them(text: str, wanted: list[tuple[str, float]]) -> None:
    assert pieces(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a red++ dog", [("a ", 1), ("red", 1.21), (" dog", 1)]),
        ("a red- dog", [("a ", 1), ("red", 0.9), (" dog", 1)]),
        ("a (red dog)+", [("a ", 1), ("red dog", 1.1)]),
        ("a (red dog)1.5 here", [("a ", 1), ("red dog", 1.5), (" here", 1)]),
        ("a (red dog) here", [("a red dog here", 1)]),
        ("a (red:1.3) t-shirt", [("a ", 1), ("red", 1.3), (" t-shirt", 1)]),
        (r"c\+ and d\-", [("c+ and d-", 1)]),
    ],
)
def test_marks_as_compel_reads_them(text: str, wanted: list[tuple[str, float]]) -> None:
    assert pieces(text, "compel") == wanted


def test_off_leaves_every_letter() -> None:
    assert weighted(r"a ((red:1.3)) {subject:2} \(dog\)", "off") == r"a ((red:1.3)) {subject:2} \(dog\)"


def test_the_subject_has_a_weight_and_no_letters() -> None:
    found = weighted("on a beach {subject:1.2}, (red:0.5)", "a1111")
    assert isinstance(found, WeightedText)
    assert (found.subject, found.text) == (1.2, "on a beach, red")


@pytest.mark.parametrize("text", ["(red:11)", "((red:5):5)", "{subject:99}", "(red:-11)"])
def test_a_weight_goes_to_ten(text: str) -> None:
    with pytest.raises(PromptError, match="it goes from -10 to 10"):
        weighted(text, "a1111")


def test_an_unknown_meaning_is_refused() -> None:
    with pytest.raises(PromptError, match="a1111, compel, off, not as 'comfy'"):
        weighted("dog", "comfy")


def test_building_repeating_and_cutting_keep_the_weights() -> None:
    tokenizer = tiny_model().prompt_tokenizer
    prompt = build_prompt("dog", weighted("  on a (beach:1.5) ", "a1111"))
    twice = amplify(prompt, tokenizer, 14, "fit")
    assert (twice.text, twice.copies) == ("a dog on a beach, a dog on a beach", 2)
    assert plain_text(twice.wording) == twice.text
    assert [weight for text, weight in twice.wording.pieces if text == "beach"] == [1.5, 1.5]
    cut = amplify(weighted("a (dog on a beach:2)", "a1111"), tokenizer, 5)
    assert (cut.text, cut.cut_words) == ("a dog on", ("a", "beach"))
    assert cut.wording.pieces == (("a ", 1.0), ("dog on", 2.0))
