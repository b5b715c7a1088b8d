"""torch's weights in a file beside the converted network: the same to the bit, out of memory, and no less its own."""

import copy
import gc
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from blipdiff.errors import CheckpointError, OutputError
from blipdiff.models.identity import weights_fingerprint
from blipdiff.sampling.openvino_engine.mapped import CAN_LET_GO, Mapped, lay_by, letting_go, take_up
from tests.support.tiny_models import tiny_model

pytestmark = pytest.mark.skipif(not CAN_LET_GO, reason="the system does not take pages back")

STATUS = Path("/proc/self/status")


def unet_of(dtype: torch.dtype = torch.float32) -> nn.Module:
    net = tiny_model().moved(dtype=dtype).unet
    return nn.Module.to(net, memory_format=torch.channels_last)


def call(net: nn.Module) -> torch.Tensor:
    torch.manual_seed(0)
    given = torch.randn(2, 4, 8, 8).to(net.dtype), torch.tensor(300), torch.randn(2, 24, 16).to(net.dtype)
    with torch.no_grad():
        return net(*given, return_dict=False)[0]


def in_memory() -> int:
    """Bytes of this process that lie in memory and in no file."""
    (line,) = (one for one in STATUS.read_text().splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_are_the_same_to_the_bit_as_they_lay_and_the_network_is_the_same(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    net = unet_of(dtype)
    exact, before, name = call(net), copy.deepcopy(net.state_dict()), weights_fingerprint(net)
    own = [(id(one), one._version) for one in net.parameters()]
    lay_by(net, tmp_path / "torch.bin")
    assert [(id(one), one._version) for one in net.parameters()] == own
    for key, weight in net.state_dict().items():
        assert torch.equal(weight, before[key])
        assert (weight.dtype, weight.stride()) == (before[key].dtype, before[key].stride())
    assert torch.equal(call(net), exact)
    assert weights_fingerprint(net) == name
    again = unet_of(dtype)
    written = (tmp_path / "torch.bin").stat().st_mtime_ns
    lay_by(again, tmp_path / "torch.bin")
    assert torch.equal(call(again), exact)
    assert (tmp_path / "torch.bin").stat().st_mtime_ns == written, "it is written once"


@pytest.mark.skipif(not STATUS.is_file(), reason="the system does not tell of memory in this way")
def test_what_is_laid_by_is_out_of_memory(tmp_path: Path) -> None:
    net = nn.Sequential(*(nn.Linear(3000, 3000) for _ in range(5)))  # 180 MB, each too large for the allocator to keep
    before = in_memory()
    lay_by(net, tmp_path / "torch.bin")
    gc.collect()
    assert before - in_memory() > 150e6
    with torch.no_grad():
        net(torch.ones(1, 3000))
    assert before - in_memory() > 150e6, "what is read stays in the file"


def test_what_is_written_to_the_weights_stays_in_this_process(tmp_path: Path) -> None:
    net, path = unet_of(), tmp_path / "torch.bin"
    lay_by(net, path)
    stored = path.read_bytes()
    with torch.no_grad():
        net.conv_out.weight.mul_(2)
        net.conv_in.weight = nn.Parameter(net.conv_in.weight * 3)  # as a program does that swaps layers
    assert path.read_bytes() == stored
    assert torch.equal(net.conv_out.weight, 2 * unet_of().conv_out.weight)
    with pytest.raises(CheckpointError, match="other weights"):
        lay_by(net, path)
    assert torch.equal(net.conv_out.weight, 2 * unet_of().conv_out.weight), "and they are kept"


@pytest.mark.parametrize("damage", ["cut", "longer", "changed", "empty"])
def test_a_file_of_other_weights_is_refused_and_nothing_is_changed(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "torch.bin"
    lay_by(unet_of(), path)
    content = path.read_bytes()
    path.unlink()
    middle = len(content) // 2
    changed = {"cut": content[:middle], "longer": content + b"\0", "empty": b""}
    path.write_bytes(changed.get(damage, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]))
    net = unet_of()
    exact = call(net)
    with pytest.raises(CheckpointError):
        lay_by(net, path)
    assert torch.equal(call(net), exact)


def test_weights_live_on_where_their_file_is_deleted_and_can_be_taken_up_again(tmp_path: Path) -> None:
    net = unet_of()
    exact = call(net)
    lay_by(net, tmp_path / "networks" / "torch.bin")
    shutil.rmtree(tmp_path / "networks")
    assert torch.equal(call(net), exact)
    take_up(net)
    assert torch.equal(call(net), exact)
    assert net.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_that_do_not_lie_close_stay_where_they_are(tmp_path: Path) -> None:
    net = nn.Linear(4, 4)
    net.weight.data = torch.arange(32.0).view(4, 8)[:, ::2]
    before = net.weight.clone()
    lay_by(net, tmp_path / "torch.bin")
    assert torch.equal(net.weight, before)
    assert not net.weight.is_contiguous()


def test_a_place_that_cannot_be_written_leaves_weights_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    net = unet_of()
    exact = call(net)
    with pytest.raises(OutputError):
        lay_by(net, tmp_path / "file" / "torch.bin")
    assert torch.equal(call(net), exact)


def test_a_file_is_the_same_after_its_pages_were_given_back(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(bytes(range(256)) * 1000)
    mapped = Mapped(path)
    with letting_go(mapped):
        assert bytes(mapped.bytes) == path.read_bytes()
    assert bytes(mapped.bytes) == path.read_bytes()
