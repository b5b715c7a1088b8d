import pytest

from blipdiff.conditioning.prompt import amplify, broadcast, build_prompt, repeat_prompt
from blipdiff.errors import ConfigError, PromptError


def count(tokenizer, text: str) -> int:
    return len(tokenizer(text).input_ids)


def test_a_prompt_is_a_sentence_about_the_target():
    assert build_prompt("dog", "  swimming underwater ") == "a dog swimming underwater"


def test_an_empty_prompt_leaves_the_category():
    assert build_prompt(" dog ", "  ") == "a dog"


@pytest.mark.parametrize("category", ["", "  ", "\n"])
def test_an_empty_category_is_refused(category):
    with pytest.raises(PromptError, match="category is empty"):
        build_prompt(category, "on a beach")


@pytest.mark.parametrize("letter", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\ud83d"])
def test_a_control_character_is_refused_and_named(letter):
    with pytest.raises(PromptError, match=f"U\\+{ord(letter):04X} at place 4"):
        build_prompt("dog", f"on {letter}a beach")


@pytest.mark.parametrize("text", ["tab\tand\nline\r\nends", "🙂 👩‍👩‍👧 é", "雪の中"])
def test_tabs_line_ends_and_emoji_are_text(text):
    assert build_prompt("dog", text).startswith("a dog ")


def test_something_that_is_no_text_is_refused():
    with pytest.raises(PromptError, match="None"):
        build_prompt("dog", None)


def test_repetition_counts_as_the_peer_does():
    assert repeat_prompt("a dog", 0.25, 20) == ", ".join(["a dog"] * 5)
    assert repeat_prompt("a dog").count("a dog") == 20


def test_a_small_strength_never_empties_the_prompt():
    assert repeat_prompt("a dog", 0.01, 20) == "a dog"


def test_copies_that_nobody_reads_are_not_made():
    assert repeat_prompt("a dog", 1e308, 10**9, most=77).count("a dog") == 77


@pytest.mark.parametrize(("strength", "reps"), [(-1.0, 20), (float("nan"), 20), (float("inf"), 20), (1.0, 0)])
def test_a_strength_outside_its_range_is_refused(strength, reps):
    with pytest.raises(ConfigError, match="strength"):
        repeat_prompt("a dog", strength, reps)


@pytest.mark.parametrize("text", ["a dog", "a dog swimming underwater", "a dog!", "a café — naïve, in the snow"])
@pytest.mark.parametrize("budget", [61, 77])
def test_amplification_takes_as_many_whole_copies_as_fit(prompt_tokenizer, text, budget):
    amplified = amplify(text, prompt_tokenizer, budget)
    assert amplified.text == ", ".join([text] * amplified.copies)
    assert count(prompt_tokenizer, amplified.text) <= budget
    assert count(prompt_tokenizer, ", ".join([text] * (amplified.copies + 1))) > budget
    assert amplified.cut_words == ()
    assert amplified.warning is None


def test_amplification_stops_at_the_asked_number(prompt_tokenizer):
    assert amplify("a dog", prompt_tokenizer, 61, repeats=3).copies == 3
    assert amplify("a dog", prompt_tokenizer, 61, repeats=300).copies < 30


def test_a_long_prompt_is_cut_at_a_word_with_a_report(prompt_tokenizer):
    text = "a dog " + "swimming " * 70 + "home"
    amplified = amplify(text, prompt_tokenizer, 61)
    assert amplified.copies == 1
    assert count(prompt_tokenizer, amplified.text) == 61
    assert text.startswith(amplified.text)
    assert amplified.cut_words[-1] == "home"
    assert len(amplified.text.split()) + len(amplified.cut_words) == 73
    assert "left out: swimming" in amplified.warning


@pytest.mark.parametrize("text", ["z" * 10_000, "🙂" * 3000, "a dog " * 2000])
def test_an_endless_prompt_is_cut_and_never_empty(prompt_tokenizer, text):
    amplified = amplify(text, prompt_tokenizer, 61)
    assert amplified.text
    assert count(prompt_tokenizer, amplified.text) <= 61
    assert amplified.cut_words
    assert len(amplified.warning) < 500


@pytest.mark.parametrize(("repeats", "budget"), [(0, 61), (-1, 61), ("fit", 2)])
def test_amplification_to_nothing_is_refused(prompt_tokenizer, repeats, budget):
    with pytest.raises(ConfigError):
        amplify("a dog", prompt_tokenizer, budget, repeats)


def test_one_value_serves_all_rows_and_n_values_serve_n():
    assert broadcast("prompts", "dog", 3) == ("dog",) * 3
    assert broadcast("prompts", ["dog"], 3) == ("dog",) * 3
    assert broadcast("prompts", ["a", "b", "c"], 3) == ("a", "b", "c")
    assert broadcast("prompts", ["a"], 1) == ("a",)


@pytest.mark.parametrize("values", [[], ["a", "b"], ["a"] * 4])
def test_any_other_number_of_values_is_refused(values):
    with pytest.raises(PromptError, match=f"{len(values)} values were given for prompts; give 1 for all, or 3"):
        broadcast("prompts", values, 3)
