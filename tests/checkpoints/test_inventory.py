"""Which models are here: told with kind, size, what they can and licence; fetched, stopped, gone on with, removed."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from blipdiff.checkpoints import inventory, load_model, save_model
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.inventory import PUBLISHED, fetched, models_here, offered, removed, shortage
from blipdiff.checkpoints.lavis_layout import save as save_lavis
from blipdiff.devices import placement
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.stand_in_hub import UNET, StandInHub

pytest_plugins = ["tests.support.hub_fixtures"]


class Enough(Exception):
    """Stops the fetching."""


def large(hub: StandInHub) -> int:
    return sum(hub.size(name) for name in hub.files if name.endswith(".bin"))


def test_the_bundled_model_is_told_without_a_hub(hub: StandInHub) -> None:
    (mini,) = models_here()
    assert (mini.name, mini.kind, mini.draws, mini.licence) == ("mini", "bundled", True, "apache-2.0")
    assert "128 x 128" in mini.can
    assert "drawn things" in mini.can
    assert 20e6 < mini.size < 100e6
    assert hub.fetched == []


def test_what_a_hub_offers_is_told_before_anything_is_fetched(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=7 * 10**9))
    hub.tags = ["diffusers", "license:apache-2.0"]
    told = offered(PUBLISHED)
    assert (told.licence, told.missing) == ("apache-2.0", told.size)
    assert large(hub) < told.size < large(hub) + 2**21
    assert told.free == 7 * 10**9
    assert hub.fetched == []


def test_a_model_is_fetched_though_the_program_keeps_off_the_hub(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub.folder / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    seen: list[tuple[int, int]] = []
    try:
        fetched(PUBLISHED, lambda there, of: seen.append((there, of)))
    finally:
        (hub.folder / "README.md").write_text("{}")
    assert constants.HF_HUB_OFFLINE is True
    assert seen[0] == (0, large(hub))
    assert seen[-1] == (large(hub), large(hub))
    assert seen == sorted(seen)
    model = next(one for one in models_here() if one.name == PUBLISHED)
    assert (model.kind, model.draws, model.licence, model.trouble) == ("published", True, "bsd-3-clause", None)
    assert "16 x 16 pixels, of anything" in model.can
    assert model.size > large(hub)
    assert load_model(PUBLISHED).name == PUBLISHED


def test_a_fetching_that_is_stopped_keeps_what_has_come_and_goes_on(hub: StandInHub) -> None:
    def stop(there: int, _of: int) -> None:
        if there > hub.size("qformer/pytorch_model.bin") + hub.size("text_encoder/pytorch_model.bin") + 4096:
            raise Enough

    with pytest.raises(Enough):
        fetched(PUBLISHED, stop)
    rest = offered(PUBLISHED)
    assert 0 < rest.missing < rest.size
    model = next(one for one in models_here() if one.name == PUBLISHED)
    assert model.trouble is not None
    assert f"blipdiff models get {PUBLISHED}" in model.trouble
    assert not model.draws
    fetched(PUBLISHED)
    assert offered(PUBLISHED).missing == 0
    (first, second) = [start for name, start in hub.fetched if name == UNET]
    assert (first, second > 0) == (0, True)


def test_what_is_removed_frees_the_disk_and_is_no_more_listed(hub: StandInHub, tmp_path: Path) -> None:
    fetched(PUBLISHED)
    before = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("blobs/*"))
    assert removed(PUBLISHED) >= before
    assert [one.name for one in models_here()] == ["mini"]
    assert not list((tmp_path / "cache").rglob("*blipdiffusion*"))
    assert not list((tmp_path / "cache").rglob("blobs"))


@pytest.mark.parametrize(("name", "said"), [("mini", "part of blipdiff"), ("/home/x", "no hub id"), ("a/b", "not in")])
def test_only_what_the_hub_gave_is_removed(name: str, said: str, hub: StandInHub) -> None:
    with pytest.raises(CheckpointError, match=said):
        removed(name)


def test_own_folders_are_told_by_how_they_were_made(tiny: BlipDiffusion, tmp_path: Path, hub: StandInHub) -> None:
    mine = tmp_path / "mine"
    save_model(tiny, mine / "plain")
    save_model(tiny, mine / "dreamy")
    index = read_json(mine / "dreamy" / "model_index.json")
    parents = {"subject_model": {"licence": "BSD-3-Clause"}, "base": {"name": "dreamy-v2", "licence": "openrail"}}
    write_json(mine / "dreamy" / "model_index.json", index | {"merged": parents})
    save_model(tiny, mine / "broken")
    next((mine / "broken" / "unet").glob("*.safetensors")).unlink()
    save_lavis(tiny, mine / "authors")
    (mine / "holidays").mkdir()
    known = {Path(one.name).name: one for one in models_here(mine)}
    assert list(known) == ["mini", "authors", "broken", "dreamy", "plain"]
    assert {name: one.kind for name, one in known.items() if name != "broken"} == {
        "mini": "bundled", "authors": "LAVIS folder", "dreamy": "merged", "plain": "folder",
    }  # fmt: skip
    assert "in the look of dreamy-v2" in known["dreamy"].can
    assert known["dreamy"].licence == "BSD-3-Clause; openrail"
    assert known["plain"].draws
    assert not known["broken"].draws
    assert "unet/diffusion_pytorch_model" in str(known["broken"].trouble)


def test_a_model_that_will_hardly_fit_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    place = placement("cpu", "float32")
    monkeypatch.setattr(inventory, "free_memory", lambda _device: 10**12)
    assert shortage("mini", place) is None
    monkeypatch.setattr(inventory, "free_memory", lambda _device: 10**8)
    assert str(shortage("mini", place)).startswith("mini takes about 0.1 GB to draw")
    monkeypatch.setattr(inventory, "free_memory", lambda _device: 10**7)
    assert "too little to load it" in str(shortage("mini", place))
    assert shortage("/nowhere", place) is None
    assert shortage("a/b", place) is None
