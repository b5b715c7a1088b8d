from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from blipdiff.errors import ConfigError
from blipdiff.latents import noise
from blipdiff.models.caching import ALL_WHOLE, Caching
from blipdiff.moment import Moment, Window
from blipdiff.sampling.caching import shallow, whole
from blipdiff.sampling.predictor import GuidedPredictor
from tests.support.studios import counted
from tests.support.tiny_models import weights_of

NOW = torch.tensor(701)
BRANCHES = (0, 1, 2, 4)


def moment(call, calls=10):
    return Moment(call, calls, torch.tensor(900 - 90 * call))


@pytest.fixture
def middles(tiny_unet):
    """The rows of every call that goes through the middle of the U-Net."""
    with counted(tiny_unet.mid_block) as rows:
        yield rows


def listening(**more):
    """A U-Net whose first level reads the words."""
    with weights_of(0):
        net = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            **more,
        )
    return net.eval().requires_grad_(False)


@pytest.fixture
def words():
    return torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("branch", BRANCHES)
def test_with_its_own_deep_features_a_shallow_call_is_the_whole_one(tiny_unet, words, branch):
    latents = noise([1, 2], (4, 8, 8))
    with torch.no_grad():
        plain = tiny_unet(latents, NOW, encoder_hidden_states=words).sample
        output, deep = whole(tiny_unet, latents, NOW, words, branch)
        again = shallow(tiny_unet, latents, NOW, words, deep, branch)
    assert torch.equal(output, plain)
    assert torch.equal(again, plain)


@pytest.mark.parametrize("branch", [0, 1])
def test_a_shallow_call_reads_latents_time_and_words_anew(words, branch):
    net, latents = listening(), noise([1, 2], (4, 8, 8))
    with torch.no_grad():
        output, deep = whole(net, latents, NOW, words, branch)
        assert torch.equal(shallow(net, latents, NOW, words, deep, branch), output)
        others = [
            shallow(net, latents + 0.1, NOW, words, deep, branch),
            shallow(net, latents, torch.tensor(301), words, deep, branch),
            shallow(net, latents, NOW, words.flip(0), deep, branch),
        ]
    assert all(not torch.equal(other, output) for other in others), [(other - output).abs().max() for other in others]


def test_a_deeper_branch_comes_nearer_and_costs_more(tiny_unet, words):
    latents, later = noise([1, 2], (4, 8, 8)), noise([3, 4], (4, 8, 8))
    operations, errors = [], []
    with torch.no_grad():
        wanted = tiny_unet(later, NOW, encoder_hidden_states=words).sample
        for branch in (0, 1):
            deep = whole(tiny_unet, latents, NOW, words, branch)[1]
            with FlopCounterMode(display=False) as count:
                found = shallow(tiny_unet, later, NOW, words, deep, branch)
            operations.append(count.get_total_flops())
            errors.append(float((found - wanted).square().mean()))
        with FlopCounterMode(display=False) as count:
            tiny_unet(later, NOW, encoder_hidden_states=words)
    assert operations[0] < operations[1] < count.get_total_flops() / 2
    assert errors[0] > errors[1] > 0


def test_one_call_of_an_interval_is_whole_and_the_first_one_always(tiny_unet, guided, middles):
    predict = GuidedPredictor(tiny_unet, guided(1, 7.5), caching=Caching(3, 1))
    for call in range(2, 9):  # a run that begins in the middle
        predict(noise([call], (4, 8, 8)), moment(call))
    assert middles == [2, 2, 2]


def test_rows_that_were_not_in_the_last_whole_call_make_a_whole_one(tiny_unet, guided, middles):
    predict = GuidedPredictor(tiny_unet, guided(2, 7.5, Window(0.4, 1)), caching=Caching(10, 1))
    for call in range(10):
        predict(noise([1, 2], (4, 8, 8)), moment(call))
    assert middles == [2, 4]


def test_a_run_takes_nothing_from_another_one(tiny_unet, guided):
    guidance = guided(2, 7.5)

    def run(seed):
        predict = GuidedPredictor(tiny_unet, guidance, caching=Caching(2, 1))
        return [predict(noise([seed, seed + 1], (4, 8, 8)), moment(call)) for call in range(4)]

    alone = [run(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        beside = list(pool.map(run, range(6)))
    for one, other in zip(alone, beside, strict=True):
        assert all(map(torch.equal, one, other))


def test_where_a_control_steers_every_call_is_whole(tiny_unet, guided, middles):
    class Steers:
        conditional_only = False

        def residuals(self, *_given):
            return None

    predict = GuidedPredictor(tiny_unet, guided(1, 7.5), [Steers()], caching=Caching(3, 1))
    for call in range(4):
        predict(noise([call], (4, 8, 8)), moment(call))
    assert middles == [2] * 4


def test_a_unet_that_reads_more_is_refused_in_words(guided):
    net = listening(class_embed_type="timestep")
    with pytest.raises(ConfigError, match="more than latents, time and words; draw with a cache interval of 1"):
        GuidedPredictor(net, guided(1), caching=Caching(2))
    assert GuidedPredictor(net, guided(1), caching=replace(ALL_WHOLE, branch=1)).deep is None


@pytest.mark.parametrize("given", [(0, 0), (11, 0), (2, -1), (2, 5)])
def test_intervals_and_branches_out_of_range_are_refused(given):
    with pytest.raises(ConfigError, match="Deep features are kept for 1 to 10 calls, with a branch of 0 to 4"):
        Caching(*given)


def test_the_cost_counts_whole_calls():
    assert Caching(3, 1).cost(7, 0.25) == 3 + 4 * 0.25
    assert ALL_WHOLE.cost(7, 0.25) == 7
