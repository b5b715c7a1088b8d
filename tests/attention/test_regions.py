import pytest
import torch

from blipdiff.attention.regions import (
    Blocks,
    FoundRegions,
    RegionAttention,
    box_mask,
    checked_regions,
    softened,
)
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.store import CrossAttentionStore
from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.moment import Moment, Window

SITE = AttentionSite("up_blocks.0.attn2", "up", "cross")
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def moment(index: int = 0, count: int = 10) -> Moment:
    return Moment(index, count, torch.tensor(0))


def halves(size: tuple[int, int] = (4, 4)) -> torch.Tensor:
    return torch.stack([box_mask(LEFT, size), box_mask(RIGHT, size)])


def attention(blocks: int = 3, slots: int = 5, queries: int = 16, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, 2, queries, blocks * slots, generator=torch.Generator().manual_seed(0)).softmax(-1)


def test_each_place_hears_its_own_sentence_alone_as_if_there_were_no_other():
    probs = attention()
    tap = RegionAttention((4, 4), 5, halves()[None], levels=2)
    seen = tap(probs, SITE, moment()).unflatten(-1, (3, 5))
    left = torch.tensor([place % 4 < 2 for place in range(16)])
    alone = probs.unflatten(-1, (3, 5))
    alone = alone / alone.sum(-1, keepdim=True)
    assert torch.allclose(seen[:, :, left, 1], alone[:, :, left, 1])
    assert torch.allclose(seen[:, :, ~left, 2], alone[:, :, ~left, 2])
    assert float(seen[:, :, left, 2].abs().max()) == float(seen[:, :, :, 0].abs().max()) == 0.0
    assert torch.allclose(seen.flatten(-2).sum(-1), torch.ones(1, 2, 16))


def test_outside_all_regions_the_scene_is_heard_and_before_they_are_found_everywhere():
    probs = attention()
    nothing = RegionAttention((4, 4), 5, torch.zeros(1, 2, 4, 4), levels=2)(probs, SITE, moment())
    unknown = RegionAttention((4, 4), 5, lambda _: None, levels=2)(probs, SITE, moment())
    assert torch.equal(nothing, unknown)
    assert float(nothing[..., 5:].abs().max()) == 0.0


def test_outside_the_window_all_sentences_are_heard_alike():
    tap = RegionAttention((4, 4), 5, halves()[None], levels=2, window=Window(0.0, 0.5))
    late = tap(attention(), SITE, moment(5)).unflatten(-1, (3, 5)).sum(-1)
    assert torch.allclose(late, torch.full_like(late, 1 / 3))


def test_the_tap_wants_every_layer_that_reads_words_and_no_other():
    tap = RegionAttention((4, 6), 5, halves()[None], levels=2)
    assert tap.wants(SITE, moment(), 24)
    assert tap.wants(SITE, moment(), 6)
    assert not tap.wants(SITE, moment(), 7)
    assert not tap.wants(AttentionSite("x", "up", "self"), moment(), 24)


def test_masks_and_sentences_must_be_of_one_number():
    with pytest.raises(ShapeError, match="2 masks were given for 1"):
        RegionAttention((4, 4), 5, halves()[None], levels=1)(attention(blocks=2), SITE, moment())
    with pytest.raises(ShapeError, match="rows, regions"):
        RegionAttention((4, 4), 5, halves(), levels=1)
    with pytest.raises(ShapeError, match="sentences of 4"):
        RegionAttention((4, 4), 4, halves()[None], levels=1)(attention(), SITE, moment())


def test_a_box_covers_its_places_and_parts_of_those_at_its_edge():
    mask = box_mask((0.25, 0.0, 0.625, 1.0), (2, 4))
    assert torch.equal(mask, torch.tensor([[0.0, 1.0, 0.5, 0.0]] * 2))
    for wrong in ((0.5, 0, 0.5, 1), (0.6, 0, 0.4, 1), (0, 0, 1.2, 1), (0, float("nan"), 1, 1)):
        with pytest.raises(ConfigError, match="box"):
            box_mask(wrong, (4, 4))


def test_regions_that_overlap_or_are_empty_are_refused():
    whole, left = box_mask((0, 0, 1, 1), (4, 4)), box_mask(LEFT, (4, 4))
    with pytest.raises(ConfigError, match="'dog' and 'cat' overlap"):
        checked_regions(torch.stack([whole, left]), ["dog", "cat"])
    with pytest.raises(ConfigError, match="'cat' is empty"):
        checked_regions(torch.stack([left, torch.zeros(4, 4)]), ["dog", "cat"])
    with pytest.raises(ImageError, match="0 to 1"):
        checked_regions(torch.full((1, 4, 4), 2.0), ["dog"])
    assert torch.equal(checked_regions(halves(), ["dog", "cat"]), halves())


def test_soft_borders_share_a_place_out_and_never_twice():
    soft = softened(halves((16, 16)), 0.2)
    assert torch.allclose(soft.sum(0), torch.ones(16, 16), atol=1e-5)
    assert 0.1 < float(soft[0, 8, 8]) < 0.5 < float(soft[0, 8, 7]) < 0.9
    assert float(soft[0, 8, 0]) > 0.99
    assert softened(halves(), 0.0) is not None
    assert torch.equal(softened(halves(), 0.0), halves())


def test_regions_are_found_where_their_words_are_looked_at():
    store = CrossAttentionStore((8, 8), (0,), window=Window(0.0, 0.3))
    found = FoundRegions(store, [[1], [2]], (8, 8))
    probs = torch.full((1, 1, 8, 8, 6), 0.01)
    probs[:, :, 2:6, 1:3, 1] = 0.8  # the first word left
    probs[:, :, 1:4, 5:7, 2] = 0.6  # the second right
    store(probs.flatten(2, 3), SITE, moment(0))
    assert found(moment(2)) is None
    masks = found(moment(3))
    assert masks.shape == (1, 2, 8, 8)
    assert float(masks[0, 0, 2:6, 1:3].min()) == float(masks[0, 1, 1:4, 5:7].min()) == 1.0
    assert float((masks[0, 0] * masks[0, 1]).max()) == 0.0
    assert float(masks[0, :, 7].max()) == 0.0
    with pytest.raises(ConfigError, match="first part"):
        FoundRegions(CrossAttentionStore((8, 8), (0,)), [[1]], (8, 8))


def test_a_word_that_no_place_prefers_still_gets_a_disc():
    store = CrossAttentionStore((8, 8), (0,), window=Window(0.0, 0.3))
    found = FoundRegions(store, [[1], [2]], (8, 8))
    probs = torch.full((1, 1, 8, 8, 6), 0.01)
    probs[..., 1] = 0.5
    probs[:, :, 6, 6, 2] = 0.02
    store(probs.flatten(2, 3), SITE, moment(0))
    masks = found(moment(5))[0]
    assert float(masks[1, 6, 6]) == 1.0
    assert float(masks[0].sum()) > 8


def test_sentences_stand_side_by_side_in_one_row():
    rows = [
        Conditioning(torch.full((1, 3, 2), float(number)), (TokenLayout(("<bos>", f"{word}</w>", "<eos>")),))
        for number, word in ((1, "dog"), (2, "cat"))
    ]
    blocks = Blocks.of(rows)
    assert blocks.slots == 3
    assert blocks.conditioning.embeddings[0, :, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert blocks.conditioning.layouts[0].slots("cat") == (4,)
    with pytest.raises(ShapeError, match="one row"):
        Blocks.of([rows[0], Conditioning(torch.zeros(1, 4, 2), (TokenLayout(("<bos>",) * 4),))])
