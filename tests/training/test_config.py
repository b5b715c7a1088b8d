"""Recipes: what is not understood is refused by name, and the learning rate rises, stays and falls."""

import json
from pathlib import Path
from typing import Any

import pytest

from blipdiff.errors import ConfigError
from blipdiff.training.config import load_recipe, recipe_from
from blipdiff.training.sections import OptimizerRecipe
from blipdiff.training.stage2 import RowShares


def test_the_bundled_recipe_is_read_by_its_name() -> None:
    recipe = load_recipe("mini")
    assert recipe.name == "mini"
    assert recipe.model.unet_widths == tuple(recipe.model.unet_widths)
    assert recipe.subject.batch > 0


def test_a_file_is_read_by_its_path(tmp_path: Path, table: dict[str, Any]) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for section, values in table.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    assert load_recipe(tmp_path / "tiny.toml") == recipe_from(table, "tiny")


def test_keys_of_earlier_versions_are_taken_with_a_word(table: dict[str, Any]) -> None:
    wanted, old = recipe_from(table, "tiny"), dict(table)
    old["redrawing"] = old.pop("reconstruction")
    old["subject"] = dict(table["subject"])
    old["subject"]["redraw_weight"] = old["subject"].pop("reconstruction_weight")
    old["subject"]["early_power"] = old["subject"].pop("timestep_exponent")
    with pytest.warns(UserWarning) as told:
        assert recipe_from(old, "tiny") == wanted
    assert sorted(str(one.message) for one in told) == [
        "tiny [subject]: 'early_power' is called 'timestep_exponent' now; the old name is still taken.",
        "tiny [subject]: 'redraw_weight' is called 'reconstruction_weight' now; the old name is still taken.",
        "tiny: 'redrawing' is called 'reconstruction' now; the old name is still taken.",
    ]
    with pytest.raises(ConfigError, match=r"unknown keys \['redrawing'\]"):
        recipe_from(table | {"redrawing": table["reconstruction"]}, "tiny")


@pytest.mark.parametrize("section", ["", "model", "reconstruction", "subject", "autoencoder"])
def test_an_unknown_key_is_refused_where_it_stands(section: str, table: dict[str, Any]) -> None:
    (table[section] if section else table)["colour"] = 1
    with pytest.raises(ConfigError, match=rf"{section}.*unknown keys \['colour'\]"):
        recipe_from(table, "tiny")


@pytest.mark.parametrize(
    ("section", "key"),
    [("", "seed"), ("", "model"), ("model", "width"), ("subject", "drop_all"), ("reconstruction", "batch")],
)
def test_a_missing_key_is_named(section: str, key: str, table: dict[str, Any]) -> None:
    del (table[section] if section else table)[key]
    with pytest.raises(ConfigError, match=rf"lacks \['{key}'\]"):
        recipe_from(table, "tiny")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model", "width", "192"),
        ("model", "width", 192.0),
        ("model", "width", True),
        ("model", "width", -1),
        ("model", "width", [192]),
        ("model", "unet_widths", 96),
        ("model", "unet_widths", ["96", "192"]),
        ("model", "unet_widths", [96.0]),
        ("subject", "learning_rate", "1e-3"),
        ("subject", "learning_rate", float("nan")),
        ("subject", "learning_rate", float("inf")),
        ("subject", "learning_rate", True),
        ("subject", "mask_weight", -0.1),
        ("subject", "steps", 10.5),
        ("", "seed", "seven"),
        ("", "seed", -1),
        ("", "seed", True),
        ("", "subject", 5),
        ("", "model", []),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(section: str, key: str, value: Any, table: dict[str, Any]) -> None:
    (table[section] if section else table)[key] = value
    with pytest.raises(ConfigError, match=key):
        recipe_from(table, "tiny")


def test_a_whole_number_serves_where_any_number_does(table: dict[str, Any]) -> None:
    table["subject"]["mask_weight"] = 2
    assert recipe_from(table, "tiny").subject.mask_weight == 2.0


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(tmp_path / "broken.toml")
    for source in ("nothing", tmp_path, tmp_path / "binary.toml", ""):
        with pytest.raises(ConfigError, match="No training recipe"):
            load_recipe(source)


def test_the_rate_rises_stays_and_falls_to_a_fiftieth() -> None:
    recipe = OptimizerRecipe(
        steps=100, batch=1, learning_rate=1.0, warmup_steps=10, cooldown_fraction=0.2, weight_decay=0.0, ema_decay=0.9
    )
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert set(rates[10:81]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)
    assert min(recipe.rate(step) for step in range(200)) == pytest.approx(0.02)


def test_without_warming_or_cooling_the_rate_is_constant() -> None:
    recipe = OptimizerRecipe(
        steps=5, batch=1, learning_rate=0.5, warmup_steps=0, cooldown_fraction=0.0, weight_decay=0.0, ema_decay=0.9
    )
    assert {recipe.rate(step) for step in range(5)} == {0.5}


def test_the_shares_of_a_batch_make_up_the_whole(table: dict[str, Any]) -> None:
    for batch in (8, 47, 48):
        table["subject"]["batch"] = batch
        shares = RowShares.of(recipe_from(table, "tiny").subject)
        assert shares.subject + shares.words + shares.nothing == batch
        assert shares.subject > shares.words >= shares.nothing > 0
