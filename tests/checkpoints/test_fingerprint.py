"""The fingerprint tells models apart, and nothing else."""

import torch

from blipdiff.checkpoints.fingerprint import fingerprint


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(40, 30, generator=generator),
        "b": torch.randn(7, generator=generator),
        "c": torch.ones(()),
    }


def test_it_is_sixteen_hexadecimal_digits_and_the_same_each_time() -> None:
    first = fingerprint(weights())
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert fingerprint(weights()) == first


def test_the_order_and_a_bfloat16_copy_do_not_matter() -> None:
    backwards = dict(reversed(weights().items()))
    assert fingerprint(backwards) == fingerprint(weights())
    assert fingerprint({name: value.bfloat16() for name, value in weights().items()}) == fingerprint(weights())


def test_values_names_and_shapes_matter() -> None:
    own = weights()
    others = [
        own | {"a": own["a"] * 1.05},
        own | {"a": own["a"].reshape(30, 40)},
        {"z" if name == "b" else name: value for name, value in own.items()},
        {name: value for name, value in own.items() if name != "c"},
    ]
    assert len({fingerprint(other) for other in [own, *others]}) == 5


def test_an_empty_tensor_is_no_obstacle() -> None:
    assert fingerprint({"a": torch.zeros(0)}) != fingerprint({})
