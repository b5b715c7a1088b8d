"""Networks in OpenVINO: equal to torch's in any size, given up where they fail, left alone where torch must look."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blipdiff.attention.taps import is_plain, tapped
from blipdiff.control.controlnet import ControlBranch
from blipdiff.latents import decode_latents
from blipdiff.moment import Moment
from blipdiff.sampling.openvino_engine.cache import kept, place_of
from blipdiff.sampling.openvino_engine.traced import residual_shapes
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.stopping import until_stopped
from blipdiff.stand_ins import allowing, hold, release
from tests.support.openvino_nets import Stand, needs_openvino
from tests.support.tiny_models import tiny_controlnet, tiny_model

pytestmark = needs_openvino

ROOT = Path(__file__).parents[2]
EXACT = 5e-6  # of float32: the largest difference between both that was seen here is 1e-6, of values up to 2
MOMENT = Moment(0, 1, torch.tensor(300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's networks are kept: each is converted once."""
    return tmp_path_factory.mktemp("converted")


@pytest.fixture
def unet():
    return tiny_model().unet


@contextmanager
def standing(net: nn.Module, stand: Stand) -> Iterator[Stand]:
    hold(net, stand)
    try:
        yield stand
    finally:
        release(net)


def noisy(rows: int = 2, height: int = 8, width: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(rows, 4, height, width), torch.tensor(300), torch.randn(rows, 24, 16)


def by_torch(unet, latents: Tensor, timestep: Tensor, words: Tensor, *around: Tensor) -> Tensor:
    more = {}
    if around:
        more = {"down_block_additional_residuals": around[:-1], "mid_block_additional_residual": around[-1]}
    dtype = unet.dtype
    with torch.no_grad():
        found = unet(
            latents.to(dtype), timestep, encoder_hidden_states=words.to(dtype), return_dict=False,
            **{name: tuple(x.to(dtype) for x in one) if isinstance(one, tuple) else one.to(dtype)
               for name, one in more.items()},
        )  # fmt: skip
    return found[0].float()


@pytest.mark.parametrize(("rows", "height", "width"), [(2, 8, 8), (1, 8, 8), (3, 4, 12)])
def test_a_unet_is_equal_to_torch_in_float32(folder: Path, unet, rows: int, height: int, width: int) -> None:
    stand, given = Stand("unet", folder), noisy(rows, height, width)
    (found,) = stand(unet, *given)
    assert found.dtype == torch.float32
    assert (found - by_torch(unet, *given)).abs().max() < EXACT
    assert stand.said == []


def test_the_residuals_of_control_nets_go_into_the_same_network(folder: Path, unet) -> None:
    stand, given = Stand("unet", folder), noisy()
    around = [torch.randn(2, *shape[1:]) for shape in residual_shapes(unet, 8, 8)]
    (found,) = stand(unet, *given, *around)
    assert (found - by_torch(unet, *given, *around)).abs().max() < EXACT
    stand(unet, *given)
    assert len(stand.network._compiled) == 1, "with and without residuals is one network"


def test_a_row_is_the_same_alone_and_among_others(folder: Path, unet) -> None:
    stand, (latents, timestep, words) = Stand("unet", folder), noisy(3)
    (together,) = stand(unet, latents, timestep, words)
    (alone,) = stand(unet, latents[1:2], timestep, words[1:2])
    assert torch.equal(together[1:2], alone)


def test_bfloat16_is_as_near_to_float32_as_torchs_bfloat16(folder: Path, unet) -> None:
    narrow = tiny_model().moved(dtype=torch.bfloat16).unet
    torch.nn.Module.to(narrow, memory_format=torch.channels_last)  # as it runs in torch
    given = noisy()
    (found,) = Stand("unet", folder)(narrow, *given)
    wide = tiny_model().moved(dtype=torch.bfloat16).moved(dtype=torch.float32).unet  # the same weights
    exact = by_torch(wide, *given)
    own, others = (found - exact).abs().max(), (by_torch(narrow, *given) - exact).abs().max()
    assert 0 < own < 2 * others
    stored = max(place_of(narrow, "unet", folder).glob("*.bin")).stat().st_size
    assert stored < 0.6 * max(place_of(unet, "unet", folder).glob("*.bin")).stat().st_size, "weights stay half as wide"


def test_a_picture_is_decoded_as_torch_does(folder: Path) -> None:
    vae, latents = tiny_model().vae, torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(0))
    exact = decode_latents(vae, latents)
    with standing(vae, Stand("vae", folder)) as stand:
        found = decode_latents(vae, latents)
        assert stand.calls == 2, "row by row"
        assert (found - exact).abs().max() < EXACT
        vae.enable_tiling()
        assert torch.equal(decode_latents(vae, latents), exact), "tiles are torch's"


@pytest.mark.parametrize("conditional_only", [False, True])
def test_a_controlnet_says_the_same_at_every_strength(folder: Path, conditional_only: bool) -> None:
    net, (latents, _, words) = tiny_controlnet(), noisy()
    branch = ControlBranch(net, torch.rand(1, 3, 16, 16), 0.7, conditional_only=conditional_only)
    down, middle = branch.residuals(latents, words, MOMENT)
    with standing(net, Stand("controlnet", folder)) as stand:
        branch.residuals(latents, words, MOMENT)
        assert stand.calls == 0, "nobody has allowed it"
        with allowing(True):
            found, centre = branch.residuals(latents, words, MOMENT)
    assert stand.calls == 1
    assert max(float((a - b).abs().max()) for a, b in zip([*down, middle], [*found, centre], strict=True)) < EXACT


def test_guided_predictions_are_equal_and_taps_are_torchs_to_the_bit(folder: Path, guided_tiny) -> None:
    unet, guidance, tap = guided_tiny
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    plain = GuidedPredictor(unet, guidance)(latents, MOMENT)
    with tapped(unet):
        looked = GuidedPredictor(unet, guidance, taps=[tap])(latents, MOMENT)
    with standing(unet, Stand("unet", folder)) as stand:
        assert torch.equal(GuidedPredictor(unet, guidance)(latents, MOMENT), plain), "where nobody allows it"
        found = GuidedPredictor(unet, guidance, may_stand_in=True)(latents, MOMENT)
        assert stand.calls == 1
        with tapped(unet):
            again = GuidedPredictor(unet, guidance, taps=[tap], may_stand_in=True)(latents, MOMENT)
        assert stand.calls == 1
    assert torch.equal(again, looked)
    assert 0 < (found - plain).abs().max() < 10 * EXACT  # at a scale of 7.5


@pytest.fixture
def guided_tiny(unet, guided):
    from tests.sampling.conftest import conditioning

    guidance = guided(2)
    narrow = [conditioning(2, seed, 16) for seed in (100, 900)]
    guidance = type(guidance)(narrow[0], narrow[1], guidance.scale, guidance.window)

    class Reads:
        def wants(self, site, moment, queries):
            return True

        def __call__(self, probs, site, moment):
            return probs

    return unet, guidance, Reads()


def test_a_network_at_rest_computes_the_same_again(folder: Path, unet) -> None:
    stand, given = Stand("unet", folder), noisy()
    stand.network.rest()
    (exact,) = stand(unet, *given)
    stand.network.rest()
    stand.network.rest()
    (found,) = stand(unet, *given)
    assert torch.equal(found, exact)
    with stand.network._lock:
        stand.network.rest()
    assert stand.network._has_computed, "it computes at this moment, and is left alone"


def test_a_run_that_is_stopped_ends_before_the_next_call(folder: Path, guided_tiny) -> None:
    unet, guidance, _ = guided_tiny
    predict = GuidedPredictor(unet, guidance, may_stand_in=True)

    def steps():
        for _ in range(5):
            yield predict(torch.zeros(2, 4, 8, 8), MOMENT)

    with standing(unet, Stand("unet", folder)) as stand:
        for _step in until_stopped(steps(), lambda: stand.calls == 2):
            pass
        assert stand.calls == 2


def test_what_is_put_on_a_network_leaves_it_to_torch(folder: Path, unet) -> None:
    assert is_plain(unet)
    with tapped(unet):
        assert is_plain(unet), "taps of others do not change this run"
    stand = Stand("unet", folder)
    hook = unet.mid_block.register_forward_hook(lambda *_: None)
    assert stand(unet, *noisy()) is None
    hook.remove()
    unet.enable_freeu(0.9, 0.2, 1.2, 1.4)
    assert stand(unet, *noisy()) is None
    unet.disable_freeu()
    layer = next(module for name, module in unet.named_modules() if name.endswith("attn2"))
    before = layer.processor
    layer.processor = lambda *_given, **_named: None
    assert stand(unet, *noisy()) is None
    layer.processor = before
    assert stand(unet, *noisy()) is not None
    assert stand.said == []


def test_a_size_that_is_not_halved_evenly_is_torchs(folder: Path, unet) -> None:
    assert Stand("unet", folder)(unet, *noisy(1, 7, 8)) is None


@pytest.mark.parametrize("way", ["written", "converted"])
def test_weights_that_are_changed_later_are_torchs(folder: Path, unet, way: str) -> None:
    stand = Stand("unet", folder)
    assert stand(unet, *noisy()) is not None
    if way == "written":
        unet.conv_in.bias.add_(1)
    else:
        torch.nn.Module.to(unet, torch.bfloat16)
    assert stand(unet, *noisy()) is None
    assert stand(unet, *noisy()) is None
    assert stand.said == ["OpenVINO does not compute the U-Net (its weights were changed since); torch does."]


def test_a_network_that_cannot_be_converted_is_torchs_and_says_so_once(tmp_path: Path, unet) -> None:
    (tmp_path / "file").write_text("")
    stand = Stand("unet", tmp_path / "file")
    assert stand(unet, *noisy()) is None
    assert stand(unet, *noisy()) is None
    (sentence,) = stand.said
    assert sentence.startswith("OpenVINO does not compute the U-Net (") and sentence.endswith("); torch does.")


def test_too_little_memory_leaves_a_network_to_torch(tmp_path: Path, unet) -> None:
    stand = Stand("unet", tmp_path, free=1000)
    assert stand(unet, *noisy()) is None
    assert "which are not free" in stand.said[0]
    assert not kept(tmp_path)
