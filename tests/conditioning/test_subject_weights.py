"""Weights of subjects: on the U-Net for one call, by row and by place; in cards, which are whole or refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import Acting, SubjectWeights, rank_at
from blipdiff.errors import SubjectError
from blipdiff.models.acting_weights import acting
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from tests.support.learned import card, lora, whole
from tests.support.tiny_models import tiny_model

SIZE = (8, 8)


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def predicted(model: BlipDiffusion, *rows: tuple[Acting, ...], timestep: int = 500) -> torch.Tensor:
    """What the U-Net says of the same latents and words in each row, with each row's weights."""
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 4, *SIZE, generator=generator).repeat(len(rows), 1, 1, 1)
    words = torch.randn(1, 24, 16, generator=generator).repeat(len(rows), 1, 1)
    moment = Moment(0, 10, torch.tensor(timestep))
    with torch.no_grad(), acting(model.unet, rows, range(len(rows)), moment, SIZE):
        return model.unet(latents, timestep, words, return_dict=False)[0]


def merged(model: BlipDiffusion, weights: SubjectWeights) -> torch.Tensor:
    """What a U-Net says whose own parameters have the changes on them."""
    other = tiny_model()
    with torch.no_grad():
        for name, parameter in other.unet.named_parameters():
            layer = name.removesuffix(".weight")
            if f"unet.{layer}.lora_A.weight" in weights.tensors:
                down, up = (weights.tensors[f"unet.{layer}.lora_{half}.weight"] for half in "AB")
                parameter.add_(up @ down)
            if f"unet.{name}.diff" in weights.tensors:
                parameter.add_(weights.tensors[f"unet.{name}.diff"])
    return predicted(other, ())


@pytest.mark.parametrize("make", [lora, whole])
def test_weights_act_as_if_they_were_merged(model: BlipDiffusion, make) -> None:
    weights = make(model)
    found = predicted(model, (Acting(weights),))
    assert torch.allclose(found, merged(model, weights), atol=1e-3)
    assert not torch.allclose(found, predicted(model, ()), atol=1e-2)


@pytest.mark.parametrize("make", [lora, whole])
def test_each_row_has_its_own_and_the_model_is_what_it_was(model: BlipDiffusion, make) -> None:
    before = {name: one.clone() for name, one in model.unet.state_dict().items()}
    one, two = make(model, 1), make(model, 2)
    rows = predicted(model, (), (Acting(one),), (Acting(two),), (Acting(one, 0.5), Acting(two, 0.5)))
    alone = [predicted(model, ()), predicted(model, (Acting(one),)), predicted(model, (Acting(two),))]
    for row, wanted in zip(rows, alone, strict=False):
        assert torch.allclose(row, wanted[0], atol=1e-3)
    assert not torch.allclose(rows[3], rows[1], atol=1e-2)
    assert all(torch.equal(before[name], one) for name, one in model.unet.state_dict().items())
    assert not any(module._forward_hooks for module in model.unet.modules())


def test_weights_in_a_place_change_little_elsewhere(model: BlipDiffusion) -> None:
    left = torch.zeros(1, *SIZE)
    left[..., :4] = 1
    weights = whole(model)
    change = (predicted(model, (Acting(weights, where=left),)) - predicted(model, ()))[0].abs().mean(0)
    everywhere = (predicted(model, (Acting(weights),)) - predicted(model, ()))[0].abs().mean(0)
    assert float(change[:, 6:].mean()) < 0.7 * float(everywhere[:, 6:].mean())
    assert float(change[:, :3].mean()) > float(change[:, 6:].mean())


def test_weights_whose_place_is_not_found_yet_do_nothing(model: BlipDiffusion) -> None:
    assert torch.equal(predicted(model, (Acting(lora(model), where=lambda _moment: None),)), predicted(model, ()))


def test_a_rank_that_falls_leaves_the_first_ranks_in_noise(model: BlipDiffusion) -> None:
    falling, plain = lora(model, least_rank=1), lora(model)
    assert torch.equal(predicted(model, (Acting(falling),), timestep=0), predicted(model, (Acting(plain),), timestep=0))
    first = {name: one[:1] if "lora_A" in name else one[:, :1] for name, one in plain.tensors.items()}
    wanted = predicted(model, (Acting(SubjectWeights.of(first, plain.base)),), timestep=999)
    assert torch.allclose(predicted(model, (Acting(falling),), timestep=999), wanted, atol=1e-5)
    assert [rank_at(t, 8, 2) for t in (0, 500, 1000, 4000, -1)] == [8, 5, 2, 2, 8]


@pytest.mark.parametrize("make", [lora, whole])
def test_a_card_keeps_weights_and_reads_them_again(model: BlipDiffusion, make, tmp_path: Path) -> None:
    path = card(model, make(model)).save(tmp_path / "dog.safetensors")
    found = SubjectEmbedding.load(path)
    (one,), (wanted,) = found.weights, card(model, make(model)).weights
    assert one.weights.fingerprint == wanted.weights.fingerprint
    assert dict(one.weights.told) == dict(wanted.weights.told)
    assert predicted(model, (one,)).equal(predicted(model, (wanted,)))


def test_a_card_without_weights_is_as_it_was(model: BlipDiffusion, tmp_path: Path) -> None:
    path = card(model, None).save(tmp_path / "dog.safetensors")
    assert SubjectEmbedding.load(path).weights == ()
    assert set(load_file(path)) == {"tokens", "thumbnail"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop(next(name for name in tensors if "lora_B" in name)),
        lambda tensors: tensors.update({next(n for n in tensors if "lora_A" in n): torch.full((4, 16), float("nan"))}),
        lambda tensors: tensors.update({next(n for n in tensors if "lora_A" in n): torch.zeros(3, 2, 1)}),
        lambda tensors: tensors.update({next(n for n in tensors if "lora_A" in n): torch.zeros(4, 16)}),
    ],
    ids=["half", "nan", "shape", "other"],
)
def test_damaged_weights_are_refused_in_one_sentence(model: BlipDiffusion, damage, tmp_path: Path) -> None:
    path = card(model, lora(model)).save(tmp_path / "dog.safetensors")
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        texts = file.metadata()
    tensors = load_file(path)
    damage(tensors)
    save_file(tensors, path, texts)
    with pytest.raises(SubjectError, match="is damaged"):
        SubjectEmbedding.load(path)


def test_a_mixture_has_each_ones_weights_by_its_share(model: BlipDiffusion, tmp_path: Path) -> None:
    one, two = card(model, lora(model, 1)), card(model, lora(model, 2), 1)
    both = mix([(one, 3.0), (two, 1.0)])
    assert [acting.share for acting in both.weights] == [0.75, 0.25]
    assert [acting.weights for acting in mix([(one, 1.0), (two, 0.0)]).weights] == [one.weights[0].weights]
    assert mix([(one, 1.0), (one, 1.0)]).weights[0].share == 1.0
    with pytest.raises(SubjectError, match="Give their cards together"):
        both.save(tmp_path / "both.safetensors")


def test_another_u_nets_weights_are_refused(model: BlipDiffusion) -> None:
    subject = card(model, replace(lora(model), base="0" * 16))
    with pytest.raises(SubjectError, match="was tuned on the U-Net 0000000000000000"):
        model.encode_prompts(["a dog"], [subject])
    with pytest.raises(SubjectError, match="give its card"):
        model.encode_prompts(["a dog"], [card(model, lora(model).named())])
