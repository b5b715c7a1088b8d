import pytest
import torch

from blipdiff.attention.alignment import align, spaced, word_matrix
from blipdiff.attention.prompt_to_prompt import PromptToPrompt, Refine, Replace, Reweight
from blipdiff.attention.sites import AttentionSite
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ConfigError, PromptError, ShapeError
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.moment import Moment, Window

CROSS, SELF = (AttentionSite(f"up_blocks.0.{kind}", "up", kind) for kind in ("cross", "self"))


def layout(text, *, subject=False, slots=32):
    """Words are one token each; "grey+hound" is one word of two."""
    words = [piece for word in text.split() for piece in _pieces(word)]
    tokens = ["<|startoftext|>", *words]
    room = slots - (16 if subject else 0)
    tokens += ["<|endoftext|>"] * (room - len(tokens))
    return TokenLayout.of(tokens, subject_at=2 if subject else None, subject_slots=16)


def _pieces(word):
    *start, end = word.split("+")
    return [*start, f"{end}</w>"]


def probabilities(rows, places=4, slots=32, seed=0):
    scores = torch.randn(rows, 2, places, slots, generator=torch.Generator().manual_seed(seed))
    return scores.softmax(-1)


def at(index, count=10):
    return Moment(index, count, torch.tensor(1))


def test_equal_prompts_are_aligned_slot_for_slot():
    plain = layout("a cat sits on a sofa")
    assert align(plain, plain).sources == tuple(range(32))


def test_the_subjects_slots_are_insertions_and_the_words_behind_them_keep_their_source():
    found = align(layout("a cat sits"), layout("a dog sits", subject=True))
    assert found.sources[:2] == (0, 1)
    assert found.sources[2:18] == (-1,) * 16
    assert found.sources[18] == -1  # dog
    assert found.sources[19] == 3  # sits
    assert not any(found.aligned[2:19])


def test_a_subject_keeps_its_own_attention_beside_another_subject():
    found = align(layout("a cat sits", subject=True), layout("a cat sits", subject=True))
    assert found.sources[2:18] == (-1,) * 16
    assert found.sources[18:20] == (18, 19)


def test_layouts_of_two_models_are_not_aligned():
    with pytest.raises(PromptError, match="32 and 24 slots"):
        align(layout("a cat"), layout("a cat", slots=24))


def test_refining_takes_the_sources_attention_where_there_is_a_counterpart():
    source, target = probabilities(1), probabilities(1, seed=1)
    alignment = align(layout("a cat sits"), layout("a dog sits", subject=True))
    refined = Refine(alignment)(source, target)
    assert torch.equal(refined[..., 19], source[..., 3])
    assert torch.equal(refined[..., 2:19], target[..., 2:19])


def test_replacing_spreads_a_word_over_a_word_of_other_length():
    source, target = probabilities(1), probabilities(1, seed=1)
    matrix = word_matrix(layout("a cat sits"), layout("a grey+hound sits", subject=True))
    replaced = Replace(matrix)(source, target)
    assert torch.allclose(replaced[..., 18], source[..., 2] / 2)
    assert torch.allclose(replaced[..., 19], source[..., 2] / 2)
    assert torch.allclose(replaced[..., 20], source[..., 3])
    assert torch.equal(replaced[..., 2:18], target[..., 2:18])
    back = Replace(word_matrix(layout("a grey+hound sits"), layout("a cat sits")))(source, target)
    assert torch.allclose(back[..., 2], source[..., 2] + source[..., 3])


def test_replacing_between_prompts_of_different_structure_is_refused():
    with pytest.raises(PromptError, match=r"'a cat sits' has 3 words, 'a big dog sits' has 4\. Use refine"):
        word_matrix(layout("a cat sits"), layout("a big dog sits", subject=True))


def test_reweighting_scales_its_slots_alone_and_comes_after_refining():
    source, target = probabilities(1), probabilities(1, seed=1)
    alignment = align(layout("a cat sits"), layout("a dog sits", subject=True))
    tap = PromptToPrompt((Refine(alignment), Reweight({19: 2.0})))
    edited = tap(torch.cat([source, target]), CROSS, at(0))
    assert torch.equal(edited[1:, ..., 19], 2 * source[..., 3])
    assert torch.equal(edited[1:, ..., 2:19], target[..., 2:19])
    with pytest.raises(ConfigError, match="0 or more"):
        Reweight({1: -1.0})


def test_the_source_row_and_what_was_given_stay_as_they_are():
    probs = probabilities(3)
    before = probs.clone()
    tap = PromptToPrompt((Refine(align(layout("a cat"), layout("a dog", subject=True))), Reweight({1: 3.0})))
    for site in (CROSS, SELF):
        assert torch.equal(tap(probs, site, at(0))[0], before[0])
    assert torch.equal(probs, before)


def test_several_targets_are_edited_each_by_itself_in_any_order():
    probs = probabilities(3)
    tap = PromptToPrompt((Refine(align(layout("a cat"), layout("a dog", subject=True))),))
    swapped = tap(probs[[0, 2, 1]], CROSS, at(0))
    assert torch.equal(swapped[[0, 2, 1]], tap(probs, CROSS, at(0)))


def test_a_word_follows_its_own_window():
    alignment = align(layout("a cat"), layout("a cat"))
    tap = PromptToPrompt((Refine(alignment),), Window(0, 0.2), {2: Window(0.5, 0.9)})
    probs = probabilities(2)
    assert tap.wants(CROSS, at(1), 16)
    assert not tap.wants(CROSS, at(3), 16)
    assert tap.wants(CROSS, at(6), 16)
    edited = tap(probs, CROSS, at(6))[1]
    assert torch.equal(edited[..., 2], probs[0, ..., 2])
    assert torch.equal(edited[..., 3:], probs[1, ..., 3:])


def test_self_attention_is_taken_up_to_the_chosen_resolution_within_its_window():
    tap = PromptToPrompt((), self_window=Window(0, 0.4), self_positions=256)
    assert tap.wants(SELF, at(3), 256)
    assert not tap.wants(SELF, at(4), 256)
    assert not tap.wants(SELF, at(0), 4096)
    assert not tap.wants(CROSS, at(0), 256)
    probs = probabilities(3, slots=4)
    assert torch.equal(tap(probs, SELF, at(0)), probs[[0, 0, 0]])


def test_one_row_alone_cannot_be_edited():
    with pytest.raises(ShapeError, match="at least one target"):
        PromptToPrompt(())(probabilities(1), SELF, at(0))


def test_replacing_splits_words_at_spaces_as_the_authors_do(prompt_tokenizer):
    def of(text, *, subject=False):
        length = 61 if subject else 77
        tokens = prompt_tokenizer.convert_ids_to_tokens(prompt_ids(prompt_tokenizer, text, length))
        return TokenLayout.of(tokens, subject_at=2 if subject else None, subject_slots=16)

    for before, after in [
        ("a jacket on a chair", "a t-shirt on a chair"),
        ("a dog's ball, red", "a cat ball, red"),
        ("a Café on a hill", "a high-rise's on a hill"),
    ]:
        source, target = of(before), of(after, subject=True)
        with pytest.raises(PromptError, match="Use refine"):
            word_matrix(source, target)
        matrix = word_matrix(source, target, (before, after))
        (_, taken), (_, given) = (spaced(one.spans(), text)[1] for one, text in ((source, before), (target, after)))
        assert torch.all(
            matrix[list(taken)][:, list(given)] == (1 if len(taken) == len(given) == 1 else 1 / len(given))
        )
        assert source.slots(before.split()[1]) == taken and target.slots(after.split()[1]) == given
        last = (source.slots(before.split()[-1])[0], target.slots(after.split()[-1])[0])
        assert matrix[last] == 1 and matrix[:, last[1]].sum() == 1
    with pytest.raises(PromptError, match=r"has 3 words, .* has 4\. Use refine"):
        word_matrix(of("a red-hot stove"), of("a red hot stove"), ("a red-hot stove", "a red hot stove"))
