import pytest

from blipdiff.conditioning.layout import BOS, EOS, PAD, SUBJECT, TokenLayout
from blipdiff.errors import PromptError


@pytest.fixture
def layout(prompt_tokenizer):
    def of(text: str, *, subject: bool = True, positions: int = 77) -> TokenLayout:
        length = positions - 16 if subject else positions
        ids = prompt_tokenizer(text, padding="max_length", truncation=True, max_length=length).input_ids
        tokens = prompt_tokenizer.convert_ids_to_tokens(ids)
        return TokenLayout.of(tokens, subject_at=2 if subject else None, subject_slots=16)

    return of


def test_a_layout_shows_words_subject_end_and_padding(layout):
    pieces = layout("a dog swimming").pieces
    assert len(pieces) == 77
    assert pieces[:2] == (BOS, "a</w>")
    assert pieces[2:18] == (SUBJECT,) * 16
    assert pieces[18:22] == ("dog</w>", "swimming</w>", EOS, PAD)
    assert set(pieces[21:]) == {PAD}


def test_the_subject_slots_are_where_the_subject_is(layout):
    assert layout("a dog").subject_slots == tuple(range(2, 18))
    assert layout("a dog", subject=False).subject_slots == ()


def test_a_word_is_found_at_every_occurrence(layout):
    found = layout("a dog, a dog, a dog", subject=False)
    assert found.slots("dog") == (2, 5, 8)
    assert found.slots("Dog ") == (2, 5, 8)


def test_a_word_of_several_tokens_is_found_whole(layout):
    found = layout("a teddy bear on a teddy", subject=False)
    teddy, bear = found.slots("teddy"), found.slots("bear")
    assert len(bear) > 1
    assert found.slots("teddy bear") == tuple(sorted([*teddy[: len(teddy) // 2], *bear]))


def test_a_part_of_a_word_is_not_that_word(layout):
    with pytest.raises(PromptError):
        layout("a dogsled").slots("dog")


@pytest.mark.parametrize("word", ["café", "CAFÉ", "t-shirt", "2026", "it's", "naïve", "snow_man"])
def test_words_that_the_tokenizer_splits_are_found_as_written(layout, word):
    found = layout(f"a {word} on a table")
    pieces = [found.pieces[slot] for slot in found.slots(word)]
    assert pieces[-1].endswith("</w>")
    assert found.slots(word) == tuple(range(18, 18 + len(pieces)))


def test_words_come_in_reading_order_with_their_slots(layout):
    found = layout("a café, a dog", subject=False)
    assert found.words() == ("a", "café", ",", "a", "dog")
    assert [slot for _, slots in found.spans() for slot in slots] == list(range(1, 1 + found.pieces.index(EOS) - 1))


def test_an_absent_word_is_refused_with_the_words_that_are_there(layout):
    with pytest.raises(PromptError, match=r"'cat'.*a, dog, swimming\."):
        layout("a dog swimming").slots("cat")


@pytest.mark.parametrize("phrase", ["", "  "])
def test_an_empty_phrase_is_refused(layout, phrase):
    with pytest.raises(PromptError):
        layout("a dog").slots(phrase)


def test_a_cut_prompt_ends_in_the_end_mark_and_keeps_its_words(layout):
    found = layout("a dog " * 40)
    assert found.pieces[-1] == EOS
    assert len(found.pieces) == 77
    assert len(found.slots("dog")) == 29


def test_an_end_mark_typed_by_a_person_does_not_end_the_layout(layout):
    found = layout("a <|endoftext|> dog", subject=False)
    assert found.slots("dog") == (3,)


def test_padding_by_another_token_is_padding():
    tokens = ["<|startoftext|>", "a</w>", "dog</w>", "<|endoftext|>", "!", "!"]
    assert TokenLayout.of(tokens, pad="!").pieces == (BOS, "a</w>", "dog</w>", EOS, PAD, PAD)


def test_positions_other_than_77_work(layout):
    assert len(layout("a dog", positions=32)) == 32
