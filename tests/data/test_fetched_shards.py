"""Shards by their addresses: the same draws as from a folder, each sample once an epoch, and servers that fail."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from blipdiff.data import fetched_shards
from blipdiff.data.fetched_shards import Fetched, addresses
from blipdiff.data.shard_library import ShardLibrary
from blipdiff.data.shard_sources import FetchedShards
from blipdiff.data.shards import Sample, write_shard
from blipdiff.errors import ConfigError
from blipdiff.training.batches import stream
from blipdiff.training.workers import Workers
from tests.support.shard_servers import ShardServer, shard_server

SHARDS, EACH = 5, 3


def sample(index: int) -> Sample:
    rng = np.random.default_rng(index)
    subject = np.zeros((16, 16, 4), np.uint8)
    subject[4:12, 4:12] = (*rng.integers(0, 256, 3), 255)
    picture = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    mask = np.full((24, 24), 255, np.uint8)
    return Sample(
        f"{index:06d}", picture, subject, mask, ("dog", "cat")[index % 2], ("a dog on grass",), f"{index}.jpg"
    )


class _Drawn(Dataset[dict[str, torch.Tensor]]):
    """Which sample each number draws."""

    def __init__(self, library: ShardLibrary) -> None:
        self.library = library

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return {"place": torch.tensor(self.library.draw(number, 3).subject)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five shards of three samples, the first two with a record beside them."""
    place = tmp_path / "data"
    for number in range(SHARDS):
        path = place / f"subjects-{number:06d}.tar"
        write_shard(path, [sample(number * EACH + row) for row in range(EACH)])
        if number < 2:
            record = {"samples": EACH, "shard": hashlib.sha256(path.read_bytes()).hexdigest()}
            path.with_suffix(".json").write_text(json.dumps(record))
    return place


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardServer]:
    monkeypatch.setattr(fetched_shards, "_FIRST_WAIT", 0.01)
    with shard_server(folder) as found:
        yield found


def all_of(server: ShardServer) -> list[str]:
    return addresses(server.url("subjects-{000000..000004}.tar"))


def library(shards: FetchedShards | Path) -> ShardLibrary:
    return ShardLibrary(shards, photo_side=16, picture_side=24)


def test_lists_of_addresses_are_spelt_out(tmp_path: Path) -> None:
    assert addresses("s3://b/{08..10}.tar") == ["s3://b/08.tar", "s3://b/09.tar", "s3://b/10.tar"]
    assert addresses("http://a/{x,y}{0..1}.tar http://b/z.tar") == [
        "http://a/x0.tar", "http://a/x1.tar", "http://a/y0.tar", "http://a/y1.tar", "http://b/z.tar",
    ]  # fmt: skip
    (tmp_path / "list.txt").write_text("http://a/1.tar\nhttp://a/2.tar\n")
    assert addresses(str(tmp_path / "list.txt")) == ["http://a/1.tar", "http://a/2.tar"]
    for wrong, told in (("http://a/{9..2}.tar", "first one first"), (" ", "empty"), ("no.txt", "cannot be read")):
        with pytest.raises(ConfigError, match=told):
            addresses(wrong)


def test_an_address_is_shown_without_what_is_secret_in_it() -> None:
    assert Fetched("https://me:secret@host:8/a/b.tar?X-Signature=abc#d").shown == "https://host:8/a/b.tar"
    assert Fetched("https://host/a/b.tar?k=v").record.url == "https://host/a/b.json?k=v"


def test_one_window_of_all_shards_draws_what_the_folder_draws(
    folder: Path, server: ShardServer, tmp_path: Path
) -> None:
    here, there = library(folder), library(FetchedShards.of(all_of(server), tmp_path / "cache", window=0))
    assert len(here) == len(there) == SHARDS * EACH
    assert here.categories() == there.categories()
    for index in (0, 7, 14, 15, 40):
        one, other = here.draw(index, 3), there.draw(index, 3)
        assert one.subject == other.subject
        assert np.array_equal(one.target, other.target)
        assert np.array_equal(one.photo, other.photo)


def test_an_epoch_takes_each_sample_once_from_few_shards_at_a_time(server: ShardServer, tmp_path: Path) -> None:
    """Also as two ranks with two loaders each take them, and as a run that was stopped goes on."""
    shards = FetchedShards.of(all_of(server), tmp_path / "cache", window=2)
    whole = [library(shards).draw(index, 3).subject for index in range(2 * SHARDS * EACH)]
    for epoch in (whole[: SHARDS * EACH], whole[SHARDS * EACH :]):
        assert sorted(epoch) == list(range(SHARDS * EACH))
        assert len({place // EACH for place in epoch[: 2 * EACH]}) == 2
    assert whole[: SHARDS * EACH] != whole[SHARDS * EACH :]
    shared = dict[int, int]()
    for part in range(4):  # each with a library of its own, and its own share of the numbers
        own = library(FetchedShards.of(all_of(server), tmp_path / f"cache-{part % 2}", window=2))
        shared |= {index: own.draw(index, 3).subject for index in range(part, len(whole), 4)}
    assert [shared[index] for index in range(len(whole))] == whole
    drawn = _Drawn(library(FetchedShards.of(all_of(server), tmp_path / "loaded", window=2)))
    for rank in range(2):  # two loaders of each rank, in processes of their own, from the middle of an epoch on
        loaded = stream(drawn, 3, 9, accumulate=2, workers=Workers(2, rank), loaders=2)
        assert [int(one["place"]) for one in loaded] == whole[6 + rank : 18 : 2]
    later = library(FetchedShards.of(all_of(server), tmp_path / "later", window=2))
    assert [later.draw(index, 3).subject for index in range(8, 20)] == whole[8:20]


def test_a_shard_that_is_not_needed_for_long_makes_room(server: ShardServer, tmp_path: Path) -> None:
    shards = FetchedShards.of(all_of(server), tmp_path / "cache", window=1)
    found = library(shards)
    for index in range(3 * SHARDS * EACH):
        found.draw(index, 0)
        assert len(list((tmp_path / "cache").glob("*.tar"))) <= 3


def test_a_record_saves_fetching_a_shard_to_count_it(server: ShardServer, tmp_path: Path) -> None:
    FetchedShards.of(all_of(server)[:2], tmp_path / "cache", window=1)
    assert not [name for name in server.asked if name.endswith(".tar")]
    asked = len(server.asked)
    FetchedShards.of(all_of(server)[:2], tmp_path / "cache", window=1)
    assert len(server.asked) == asked


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_a_server_that_fails_is_asked_again_but_not_for_ever(server: ShardServer, tmp_path: Path, fault: str) -> None:
    server.faults["subjects-000003.tar"] = (2, fault)
    assert FetchedShards.of(all_of(server), tmp_path / "a", window=0).counts == (EACH,) * SHARDS
    server.faults["subjects-000003.tar"] = (10**6, fault)
    with pytest.raises(ConfigError) as refused:
        FetchedShards.of(all_of(server), tmp_path / "b", window=0)
    told = str(refused.value)
    assert told.startswith(f"http://127.0.0.1:{server.port}/subjects-000003.tar cannot be fetched: ")
    assert ("500" if fault == "500" else "cut") in told
    assert "secret" not in told
    assert not [
        path
        for path in (tmp_path / "b").iterdir()
        if path.suffix == ".part" or (path.stat().st_size == 0 and path.suffix == ".tar")
    ]


def test_missing_truncated_and_foreign_shards_are_named(server: ShardServer, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/gone\.tar cannot be fetched: there is no such file"):
        FetchedShards.of([server.url("gone.tar?signature=abc")], tmp_path / "cache", window=0)
    whole = (folder / "subjects-000000.tar").read_bytes()
    (folder / "subjects-000000.tar").write_bytes(whole[:5000])
    (folder / "subjects-000004.tar").write_bytes((folder / "subjects-000004.tar").read_bytes()[:5000])
    (folder / "subjects-000003.tar").write_bytes(b"no tar file at all")
    shards = FetchedShards.of(all_of(server)[:2], tmp_path / "cache", window=0)
    with pytest.raises(ConfigError, match=r"subjects-000000\.tar cannot be fetched: it is not what its record says"):
        library(shards).categories()
    for number in (3, 4):
        with pytest.raises(ConfigError, match=rf"subjects-00000{number}\.tar cannot be fetched: it is cut short"):
            FetchedShards.of([all_of(server)[number]], tmp_path / "cache", window=0)
    with pytest.raises(ConfigError, match="nothing that is installed knows such addresses"):
        FetchedShards.of(["gopher://host/a.tar"], tmp_path / "cache", window=0)


def test_a_server_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched_shards, "_FIRST_WAIT", 0.01)
    with pytest.raises(ConfigError, match="the server cannot be reached"):
        FetchedShards.of(["http://127.0.0.1:9/a.tar"], tmp_path / "cache", window=0)


def test_shards_in_a_bucket(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From moto's server of S3; credentials and its address by the environment."""
    s3fs = pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    moto = server_of("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "someone"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("photos")
        for path in folder.iterdir():
            store.put_file(str(path), f"photos/{path.name}")
        shards = FetchedShards.of(addresses("s3://photos/subjects-{000000..000004}.tar"), tmp_path / "cache", window=0)
        here, there = library(folder), library(shards)
        assert [there.draw(index, 1).subject for index in range(15)] == [
            here.draw(index, 1).subject for index in range(15)
        ]
        with pytest.raises(ConfigError, match=r"s3://photos/gone\.tar cannot be fetched: there is no such file"):
            FetchedShards.of(["s3://photos/gone.tar"], tmp_path / "cache", window=0)
    finally:
        moto.stop()
