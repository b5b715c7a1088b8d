"""Fixtures for all tests: the folder of recorded numbers, and the tiny networks in it."""

import gc
import os
import signal
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from blipdiff.transformers_types import CLIPTokenizer

os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # whichever test imports Ray first: no cluster that nobody asked for
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # and none that other machines reach
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C, its tests must not


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what was imported stays: looking through it for garbage took 8 % of the time of the tests of commands


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow-networks", type=int, default=1, help="How many slow networks the page is tried over.")
    parser.addoption("--kills", type=int, default=3, help="At how many moments each writer of files is killed.")
    parser.addoption("--writers", type=int, default=6, help="How many processes write pictures into one folder.")
    parser.addoption("--pictures", type=int, default=10, help="How many pictures each of them writes.")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the recorded numbers and the tiny checkpoints."""
    return Path(__file__).parent / "recorded"


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Path:
    """A tiny random checkpoint in the hub's layout, with a ControlNet."""
    return shared / "parity" / "blipdiffusion-controlnet-tiny"


@pytest.fixture(scope="session")
def tiny_unet(tiny: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(tiny / "unet").eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_vae(tiny: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(tiny / "vae").eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_controlnet(tiny: Path) -> ControlNetModel:
    return ControlNetModel.from_pretrained(tiny / "controlnet").eval().requires_grad_(False)


@pytest.fixture(scope="session")
def prompt_tokenizer(tiny: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(tiny / "tokenizer")
