"""OpenVINO in tests: which networks stand in, and a folder of converted networks that a module's tests share."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from blipdiff.sampling.openvino_engine.network import CompiledNetwork
from blipdiff.sampling.openvino_engine.traced import Kind

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
AMPLE = 1 << 40  # bytes


def tells_of_time(sentence: str) -> bool:
    """Whether a sentence says how long converting took, which is the machine's matter and no test's."""
    return re.search(r"was converted for OpenVINO in \d+ s;", sentence) is not None


class Stand:
    """A compiled network that keeps what it says, and how often it computed."""

    def __init__(self, kind: Kind, folder: Path, free: int = AMPLE) -> None:
        self.told: list[str] = []
        self.calls = 0
        self.network = CompiledNetwork(kind, folder, lambda: free, self.told.append)

    @property
    def said(self) -> list[str]:
        return [one for one in self.told if not tells_of_time(one)]

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:
        found = self.network(net, *inputs)
        self.calls += found is not None
        return found
