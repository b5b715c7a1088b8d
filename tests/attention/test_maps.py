import pytest
import torch

from blipdiff.attention.local_blend import LocalBlend, WordMask
from blipdiff.attention.maps import heatmap, mask, soft_mask
from blipdiff.attention.store import CrossAttentionStore
from blipdiff.errors import ConfigError, ImageError, PromptError, ShapeError
from blipdiff.moment import Moment, Window

NOW = Moment(5, 10, torch.tensor(1))


@pytest.fixture
def spot():
    """(6, 4, 8): slot 2 is looked at in one place, slot 3 at its right neighbour."""
    attention = torch.full((6, 4, 8), 0.1)
    attention[1, 1, 2], attention[1, 2, 3] = 0.9, 0.5
    return attention


class Seen:
    def __init__(self, *rows):
        self.rows = torch.stack(rows)

    def mean(self):
        return self.rows


def test_a_heat_map_is_highest_where_the_word_is_and_keeps_the_aspect(spot):
    heat = heatmap(spot, [2], (24, 16))
    assert heat.shape == (24, 16)
    assert heat.max() == 1
    top, left = divmod(int(heat.argmax()), 16)
    assert (top // 4, left // 4) == (1, 1)


def test_several_slots_are_one_word(spot):
    both = heatmap(spot, [2, 3], (6, 4))
    assert torch.allclose(both, spot[..., [2, 3]].sum(-1) / spot[..., [2, 3]].sum(-1).max())


def test_a_mask_widens_the_peak_by_one_place_and_cuts_at_the_threshold(spot):
    cut = mask(spot, [2], (6, 4), 0.3)
    expected = torch.zeros(6, 4)
    expected[0:3, 0:3] = 1
    assert torch.equal(cut, expected)
    assert mask(spot, [2], (6, 4), 0.05).min() == 1


def test_a_soft_mask_passes_through_a_half_at_the_threshold(spot):
    soft = soft_mask(spot, [2], (12, 8), smooth=True)
    ramp = mask(spot, [2], (12, 8), 0.5, softness=0.4)
    assert ((ramp > 0) & (ramp < 1)).any()
    assert torch.equal(ramp >= 0.5, soft >= 0.5)


def test_a_word_that_nothing_looks_at_has_an_empty_map_and_not_a_number_nowhere():
    assert torch.equal(heatmap(torch.zeros(4, 4, 8), [1], (8, 8)), torch.zeros(8, 8))


def test_no_slot_and_values_outside_their_range_are_named(spot):
    with pytest.raises(PromptError, match="no word at all"):
        heatmap(spot, [], (8, 8))
    with pytest.raises(ConfigError, match=r"threshold of 1\.5"):
        mask(spot, [2], (8, 8), 1.5)


def test_outside_the_mask_the_target_is_the_source_and_inside_its_own_bit_for_bit(spot):
    latents = torch.randn(2, 4, 6, 4)
    blend = LocalBlend(WordMask(Seen(spot, spot), {0: (2,)}))
    blended, kept = blend(latents, NOW), blend.mask((6, 4)).bool()
    assert torch.equal(blended[0], latents[0])
    assert torch.equal(blended[1][:, kept], latents[1][:, kept])
    assert torch.equal(blended[1][:, ~kept], latents[0][:, ~kept])


def test_source_and_target_words_are_joined(spot):
    other = spot.flip(0)
    both = LocalBlend(WordMask(Seen(spot, other), {0: (2,), 1: (2,)})).mask((6, 4))
    alone = [LocalBlend(WordMask(Seen(spot, other), {row: (2,)})).mask((6, 4)) for row in (0, 1)]
    assert torch.equal(both, torch.maximum(*alone))
    assert both.sum() > alone[0].sum()


def test_a_painted_mask_serves_alone_joined_and_as_a_border(spot):
    painted = torch.zeros(6, 4)
    painted[2:6, 0:2] = 1
    words = WordMask(Seen(spot, spot), {0: (2,)})
    found = LocalBlend(words).mask((6, 4))
    assert torch.equal(LocalBlend(words, painted, "alone").mask((6, 4)), painted)
    assert torch.equal(LocalBlend(None, painted).mask((6, 4)), painted)
    assert torch.equal(LocalBlend(words, painted, "joined").mask((6, 4)), torch.maximum(found, painted))
    assert torch.equal(LocalBlend(words, painted, "within").mask((6, 4)), found * painted)


def test_before_its_window_nothing_is_blended(spot):
    latents = torch.randn(2, 4, 6, 4)
    blend = LocalBlend(WordMask(Seen(spot, spot), {0: (2,)}), window=Window(0.6, 1.0))
    assert blend(latents, NOW) is latents


def test_masks_that_cannot_be_used_are_named():
    with pytest.raises(ImageError, match="empty"):
        LocalBlend(None, torch.zeros(4, 4))
    with pytest.raises(ImageError, match="outside 0 to 1"):
        LocalBlend(None, torch.full((4, 4), 2.0))
    with pytest.raises(ShapeError, match=r"\(1, 4, 4\)"):
        LocalBlend(None, torch.ones(1, 4, 4))
    with pytest.raises(ShapeError, match=r"\(4, 4\), the latents are \(8, 8\)"):
        LocalBlend(None, torch.ones(4, 4)).mask((8, 8))
    with pytest.raises(ConfigError, match="needs the words"):
        LocalBlend()
    with pytest.raises(ConfigError, match="alone, joined or within"):
        LocalBlend(None, torch.ones(4, 4), "instead")
    with pytest.raises(PromptError, match="at least one word"):
        WordMask(CrossAttentionStore((8, 8)), {})
    with pytest.raises(ConfigError, match="threshold of 2"):
        WordMask(CrossAttentionStore((8, 8)), {0: (1,)}, threshold=2)
