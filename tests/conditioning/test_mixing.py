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


@pytest.mark.parametrize("how", ["linear", "spherical", "token-wise"])
def test_the_ends_of_a_mixture_are_the_subjects_bit_for_bit(how):
    assert torch.equal(mix([(CAT, 1), (DOG, 0)], how).tokens, CAT.tokens)
    assert torch.equal(mix([(CAT, 0), (DOG, 5)], how).tokens, DOG.tokens)
    assert torch.equal(mix([(CAT, 0.2)], how).tokens, CAT.tokens)


@pytest.mark.parametrize("how", ["linear", "spherical", "token-wise"])
def test_the_order_of_subjects_does_not_matter(how):
    one = mix([(CAT, 1), (DOG, 2), (FOX, 3)], how).tokens
    other = mix([(FOX, 3), (CAT, 1), (DOG, 2)], how).tokens
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("how", ["linear", "spherical", "token-wise"])
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


def test_weights_for_each_token_blend_each_by_its_own():
    weights = torch.linspace(0, 1, 16)
    mixed = mix([(CAT, (1 - weights).tolist()), (DOG, weights.tolist())])
    assert torch.allclose(mixed.tokens, torch.lerp(CAT.tokens, DOG.tokens, weights[:, None]), atol=1e-6)
    with pytest.raises(ConfigError, match="16"):
        mix([(CAT, [1.0, 2.0]), (DOG, 1.0)])
    with pytest.raises(ConfigError, match="one above 0"):
        mix([(CAT, [0.0] * 16), (DOG, [0.0] + [1.0] * 15)])


def test_tokens_are_given_whole_and_stay_with_their_subject_as_its_share_grows():
    def of_dog(share: float) -> torch.Tensor:
        tokens = mix([(CAT, 1 - share), (DOG, share)], "token-wise").tokens
        return (tokens == DOG.tokens).all(1)

    quarter, half = of_dog(0.25), of_dog(0.5)
    assert (int(quarter.sum()), int(half.sum())) == (4, 8)
    assert bool(half[quarter].all())
    assert int(of_dog(0.28).sum()) == 4  # the fifth is on its way


def test_an_extrapolation_is_bounded_and_labelled():
    outside = mix([(CAT, -0.25), (DOG, 1.25)], extrapolation=0.5)
    assert torch.allclose(outside.tokens, DOG.tokens + 0.25 * (DOG.tokens - CAT.tokens), atol=1e-5)
    assert float(outside.provenance["extrapolation"]) == 0.25
    assert "extrapolation" not in mix([(CAT, 0.25), (DOG, 0.75)], extrapolation=0.5).provenance
    with pytest.raises(ConfigError, match=r"160%.*by 50%"):
        mix([(CAT, -0.6), (DOG, 1.6)], extrapolation=0.5)
    with pytest.raises(ConfigError, match="0 to 1"):
        mix([(CAT, 1)], extrapolation=1.5)
    with pytest.raises(ConfigError, match="whole"):
        mix([(CAT, -0.2), (DOG, 1.2)], "token-wise", extrapolation=0.5)


def test_joined_categories_name_every_subject_of_weight_the_heaviest_last():
    def words(cat: float, dog: float, fox: float = 0.0) -> str:
        return mix([(CAT, cat), (DOG, dog), (FOX, fox)], words="joined").category

    assert [words(1, 0), words(0.8, 0.2), words(0.7, 0.3), words(0.3, 0.7), words(0, 1)] == [
        "cat", "cat", "dog cat", "cat dog", "dog",
    ]  # fmt: skip
    assert words(1, 1, 1) == "cat dog fox"
    assert mix([(FOX, 1), (CAT, 1), (DOG, 1)], words="joined").category == "cat dog fox"
    assert mix([(CAT, 1), (CAT, 1)], words="joined").category == "cat"
    with pytest.raises(ConfigError, match="loudest"):
        mix([(CAT, 1)], words="loudest")
