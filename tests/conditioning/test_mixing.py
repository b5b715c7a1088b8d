import pytest
import torch

from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, SubjectError


def subject(seed: int, category: str, fingerprint: str | None = "model-a", width: int = 32) -> SubjectEmbedding:
    tokens = torch.randn(16, width, generator=torch.Generator().manual_seed(seed))
    return SubjectEmbedding(tokens, category, fingerprint=fingerprint)


CAT, DOG, FOX = subject(1, "cat"), subject(2, "dog"), subject(3, "fox")


def test_a_linear_mixture_is_the_weighted_mean():
    mixed = mix([(CAT, 3), (DOG, 1)])
    assert torch.allclose(mixed.tokens, 0.75 * CAT.tokens + 0.25 * DOG.tokens)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_the_ends_of_a_mixture_are_the_subjects_bit_for_bit(how):
    assert torch.equal(mix([(CAT, 1), (DOG, 0)], how).tokens, CAT.tokens)
    assert torch.equal(mix([(CAT, 0), (DOG, 5)], how).tokens, DOG.tokens)
    assert torch.equal(mix([(CAT, 0.2)], how).tokens, CAT.tokens)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_the_order_of_subjects_does_not_matter(how):
    one = mix([(CAT, 1), (DOG, 2), (FOX, 3)], how).tokens
    other = mix([(FOX, 3), (CAT, 1), (DOG, 2)], how).tokens
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_a_subject_mixed_with_itself_is_itself(how):
    assert torch.allclose(mix([(CAT, 1), (CAT, 2)], how).tokens, CAT.tokens, atol=1e-5)


def test_a_spherical_mixture_of_two_is_slerp():
    a, b, t = CAT.tokens.double(), DOG.tokens.double(), 0.3
    u, v = torch.nn.functional.normalize(a, dim=-1), torch.nn.functional.normalize(b, dim=-1)
    angle = torch.acos((u * v).sum(-1, keepdim=True))
    slerp = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    length = (1 - t) * a.norm(dim=-1, keepdim=True) + t * b.norm(dim=-1, keepdim=True)
    assert torch.allclose(mix([(CAT, 0.7), (DOG, 0.3)], "spherical").tokens.double(), slerp * length, atol=1e-5)


def test_the_heaviest_part_names_the_mixture():
    assert mix([(CAT, 1), (DOG, 2)]).category == "dog"
    assert mix([(CAT, 1), (DOG, 1)]).category == "cat"
    assert mix([(CAT, 1), (DOG, 1)]).fingerprint == "model-a"


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_weights_outside_their_range_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        mix([(CAT, weights[0]), (DOG, weights[1])])


def test_subjects_of_different_models_are_refused():
    with pytest.raises(SubjectError, match=r"model-a.*model-b"):
        mix([(CAT, 1), (subject(2, "dog", "model-b"), 1)])
    with pytest.raises(SubjectError, match="shapes"):
        mix([(CAT, 1), (subject(2, "dog", width=48), 1)])


def test_nothing_to_mix_and_unknown_blends_are_refused():
    with pytest.raises(SubjectError, match="at least one"):
        mix([])
    with pytest.raises(ConfigError, match="cubic"):
        mix([(CAT, 1)], "cubic")
