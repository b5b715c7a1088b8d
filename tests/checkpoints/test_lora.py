"""LoRAs in every naming: equal to merging by hand, taken off without a trace, told by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.additions import Additions, told
from blipdiff.checkpoints.lora import Lora, attach, with_loras
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import (
    ALPHA,
    RANK,
    Factors,
    by_hand,
    factors,
    nets_of,
    write_diffusers,
    write_kohya,
    write_old_diffusers,
    write_peft,
)
from tests.support.studios import state
from tests.support.tiny_models import tiny_model


@pytest.fixture
def model() -> BlipDiffusion:
    return tiny_model()


def differs(model: BlipDiffusion, wanted: dict[tuple[str, str], torch.Tensor]) -> float:
    nets = nets_of(model)
    return max(
        float((nets[net].get_submodule(name).weight.detach() - weight).abs().max())
        for (net, name), weight in wanted.items()
    )


@pytest.mark.parametrize(
    ("write", "scale"),
    [
        (write_kohya, ALPHA / RANK),
        (write_diffusers, ALPHA / RANK),
        (write_old_diffusers, 1.0),
        (write_peft, ALPHA / RANK),
    ],
)
def test_every_naming_is_merged_as_by_hand(
    model: BlipDiffusion, tmp_path: Path, write: Callable[[Factors, Path], Path], scale: float
) -> None:
    given = factors(model)
    source = write(given, tmp_path / ("one" if write is write_peft else "one.safetensors"))
    wanted = by_hand(model, given, 0.7 * scale)
    assert {net for net, _ in given} == {"unet", "text_encoder"}
    with with_loras(model, [Lora(str(source), 0.7)]):
        assert differs(model, wanted) < 1e-6


def test_convolutions_are_changed_too(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model, ends=("conv1", "conv_shortcut", "proj_in", "fc1"))
    assert any(down.ndim == 4 and down.shape[-1] == 3 for down, _ in given.values())
    source = write_kohya(given, tmp_path / "locon.safetensors")
    wanted = by_hand(model, given, ALPHA / RANK)
    with with_loras(model, [Lora(str(source))]):
        assert differs(model, wanted) < 1e-6


@pytest.mark.parametrize("of_rows", [True, False])
def test_dora_gives_each_row_or_column_its_own_length(model: BlipDiffusion, tmp_path: Path, of_rows: bool) -> None:
    given = factors(model, ends=("ff.net.2",))
    path = write_kohya(given, tmp_path / "dora.safetensors")
    tensors, wanted = load_file(path), by_hand(model, given, ALPHA / RANK)
    for (_, name), weight in wanted.items():
        length = torch.rand(weight.shape[0], 1) + 0.5 if of_rows else torch.rand(1, weight.shape[1]) + 0.5
        tensors[f"lora_unet_{name.replace('.', '_')}.dora_scale"] = length
        wanted["unet", name] = weight * length / weight.norm(dim=1 if of_rows else 0, keepdim=True)
    save_file(tensors, path)
    with with_loras(model, [Lora(str(path))]):
        assert differs(model, wanted) < 1e-6


def test_taking_them_off_leaves_the_same_tensors(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    first, second = write_kohya(given, tmp_path / "a.safetensors"), write_peft(given, tmp_path / "b")
    before, identity = state(model), model.identity
    attached = attach(model, [Lora(str(first)), Lora(str(second), 0.5)])
    assert state(model) != before
    attached.detach()
    assert state(model) == before
    assert model.identity == identity
    attached.detach()
    assert state(model) == before


def test_several_add_up(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    first, second = write_kohya(given, tmp_path / "a.safetensors"), write_kohya(given, tmp_path / "b.safetensors")
    wanted = by_hand(model, given, 0.75 * ALPHA / RANK)
    with with_loras(model, [Lora(str(first), 1.0), Lora(str(second), -0.25)]):
        assert differs(model, wanted) < 1e-6


def test_the_identity_names_it_with_its_weight(model: BlipDiffusion, tmp_path: Path) -> None:
    source = write_kohya(factors(model), tmp_path / "chalk.safetensors")
    plain = model.identity
    with with_loras(model, [Lora(str(source), 0.8)]) as other:
        own = other.identity
    assert set(own.parts) - set(plain.parts) == {"LoRA chalk at 0.8"}
    assert {name: own.parts[name] for name in plain.parts} == plain.parts
    assert plain.differing(own.told()) == ["LoRA chalk at 0.8"]


def test_it_is_loaded_with_a_model_and_saved_merged(model: BlipDiffusion, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model")
    given = factors(model)
    source = write_kohya(given, tmp_path / "chalk.safetensors")
    additions = Additions.of(loras=[f"{source}:0.5"])
    loaded = load_model(tmp_path / "model", dtype="float32", additions=additions)
    wanted = by_hand(model, given, 0.5 * ALPHA / RANK)
    assert differs(loaded, wanted) < 1e-6
    assert loaded.identity.parts["unet"] == model.identity.parts["unet"]
    save_model(loaded, tmp_path / "merged")
    assert differs(load_model(tmp_path / "merged", dtype="float32"), wanted) < 1e-6


def test_half_precision_is_merged_before_it_is_rounded(model: BlipDiffusion, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model")
    given = factors(model)
    additions = Additions.of(loras=[write_kohya(given, tmp_path / "a.safetensors")])
    loaded = load_model(tmp_path / "model", dtype="bfloat16", additions=additions)
    wanted = {name: weight.bfloat16() for name, weight in by_hand(model, given, ALPHA / RANK).items()}
    assert differs(loaded, wanted) == 0


def test_the_words_that_call_it_up_are_told(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    phrase = write_kohya(given, tmp_path / "a.safetensors", {"modelspec.trigger_phrase": "chalk drawing"})
    folder = write_kohya(given, tmp_path / "b.safetensors", {"ss_dataset_dirs": '{"10_sks dog": {"n_repeats": 10}}'})
    tags = '{"one": {"oil": 3, "water": 9}, "two": {"oil": 8}}'
    counted = write_kohya(given, tmp_path / "c.safetensors", {"ss_tag_frequency": tags})
    silent = write_kohya(given, tmp_path / "d.safetensors", {"ss_tag_frequency": "{broken"})
    loras = [Lora(str(path)) for path in (phrase, folder, counted, silent)]
    with with_loras(model, loras) as other:
        assert [one.words for one in other.additions] == [("chalk drawing",), ("sks dog",), ("oil", "water"), ()]
        assert told(other)[1] == "LoRA b knows the words: sks dog."


def test_all_or_none_of_them_is_put_on(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    good = write_kohya(given, tmp_path / "good.safetensors")
    key = next(iter(given))
    bad = write_kohya(given | {key: (given[key][0][:, :1].contiguous(), given[key][1])}, tmp_path / "bad.safetensors")
    before = state(model)
    with pytest.raises(CheckpointError, match=r"layer of 8 x 1, this model's is 8 x 8: the LoRA was made for another"):
        attach(model, [Lora(str(good)), Lora(str(bad))])
    assert state(model) == before


def test_the_same_one_twice_is_refused(model: BlipDiffusion, tmp_path: Path) -> None:
    source = write_kohya(factors(model), tmp_path / "chalk.safetensors")
    with pytest.raises(ConfigError, match="LoRA chalk at 1 is given twice"):
        attach(model, [Lora(str(source)), Lora(str(source))])


@pytest.mark.parametrize("text", ["{}:", "{}:strong", "{}:nan", "{}:11"])
def test_a_weight_is_a_number_from_minus_ten_to_ten(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no number|goes from -10 to 10"):
        Lora.of(text.format("chalk.safetensors"))


def test_a_drive_or_an_existing_name_is_no_weight(tmp_path: Path) -> None:
    (tmp_path / "odd:0.5").write_bytes(b"x")
    assert Lora.of(tmp_path / "odd:0.5") == Lora(str(tmp_path / "odd:0.5"))
    assert Lora.of(r"C:\loras\chalk.safetensors") == Lora(r"C:\loras\chalk.safetensors")
    assert Lora.of(r"C:\loras\chalk.safetensors:0.5") == Lora(r"C:\loras\chalk.safetensors", 0.5)


def test_their_order_changes_no_bit(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    loras = [
        Lora(
            str(write_kohya({key: (down * n, up) for key, (down, up) in given.items()}, tmp_path / f"{n}.safetensors")),
            n / 3,
        )
        for n in (1, 2, 3)
    ]
    with with_loras(model, loras) as one:
        first = {name: weight.clone() for name, weight in one.unet.state_dict().items()}
        identity = one.identity
    with with_loras(model, loras[::-1]) as other:
        assert all(torch.equal(first[name], weight) for name, weight in other.unet.state_dict().items())
        assert other.identity == identity
