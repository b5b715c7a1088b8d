"""Damaged configurations: a model is loaded and draws, or one sentence says what is wrong with which field."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny, T2IAdapter
from hypothesis import strategies as st

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.controls import load_control
from blipdiff.checkpoints.describer import load_describer, save_describer
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.images import PhotoSettings
from blipdiff.models.describer import Describer, category_features
from blipdiff.models.representation import Representation
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines import GenerateRequest, Job, Studio, run
from pipelines.describe import DescribeRequest, describe
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutations import damaged_text
from tests.support.tiny_models import photo, tiny_model

CONFIGS = (
    "model_index.json",
    "image_processor/preprocessor_config.json",
    "qformer/config.json",
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
    "controlnet/config.json",
    "scheduler/scheduler_config.json",
)
_SHARED = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = [
    {"_class_name": "DDIMScheduler", **_SHARED, "clip_sample": False, "rescale_betas_zero_snr": False},
    {"_class_name": "DPMSolverMultistepScheduler", **_SHARED, "solver_order": 2, "algorithm_type": "dpmsolver++"},
    {"_class_name": "EulerDiscreteScheduler", **_SHARED, "timestep_spacing": "leading", "steps_offset": 1},
    {"_class_name": "EulerAncestralDiscreteScheduler", **_SHARED, "prediction_type": "v_prediction"},
    {"_class_name": "UniPCMultistepScheduler", **_SHARED, "solver_type": "bh2", "disable_corrector": []},
    {"_class_name": "LCMScheduler", **_SHARED, "original_inference_steps": 50, "timestep_scaling": 10.0},
    {"_class_name": "PNDMScheduler", **_SHARED, "skip_prk_steps": True, "trained_betas": None},
]


def draw(folder: Path) -> None:
    """Loads a model and draws one picture with it."""
    studio = Studio(load_model(folder))
    request = GenerateRequest(category="dog", prompt="on a beach", seed=3, count=1, steps=2)
    list(run(studio, Job.of(request, subject=SubjectPhoto(photo(0), "dog"))))


def damaged(folder: Path, names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, bytes]]:
    """The name of one of a folder's JSON files, and its damaged content."""
    whole = {name: json.loads((folder / name).read_text("utf-8")) for name in names}
    return st.one_of([st.tuples(st.just(name), damaged_text(value)) for name, value in whole.items()])


def reader(folder: Path, read: Callable[[Path], object]) -> Callable[[tuple[str, bytes]], None]:
    """Reads the folder with one file damaged, and puts it back."""

    def run(given: tuple[str, bytes]) -> None:
        name, content = given
        whole = (folder / name).read_bytes()
        try:
            (folder / name).write_bytes(content)
            read(folder)
        finally:
            (folder / name).write_bytes(whole)

    return run


def told(given: tuple[str, bytes]) -> bytes:
    return given[0].encode() + b"\n" + given[1]


def test_configurations_of_a_model(fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole_model, tmp_path / "model"))
    draw(folder)
    fuzz(damaged(folder, CONFIGS), reader(folder, draw), content=told, share=0.6)


def test_configurations_of_a_tiny_autoencoder(fuzz: Fuzz, tmp_path: Path) -> None:
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (4, 4), "decoder_block_out_channels": (4, 4)}
    vae = AutoencoderTiny(**widths, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))
    save_model(replace(tiny_model(), vae=vae.eval().requires_grad_(False)), tmp_path / "model")
    draw(tmp_path / "model")
    fuzz(damaged(tmp_path / "model", ("vae/config.json",)), reader(tmp_path / "model", draw), content=told, share=0.2)


def test_configurations_of_an_adapter(fuzz: Fuzz, tmp_path: Path) -> None:
    torch.manual_seed(0)
    T2IAdapter(in_channels=3, channels=[8, 16], num_res_blocks=1, downscale_factor=2).save_pretrained(tmp_path / "net")

    def read(folder: Path) -> None:
        net = load_control(folder)
        net(torch.zeros(1, int(net.config.in_channels), 16, 16))

    read(tmp_path / "net")
    fuzz(damaged(tmp_path / "net", ("config.json",)), reader(tmp_path / "net", read), content=told, share=0.2)


def test_configurations_of_a_describer(fuzz: Fuzz, tmp_path: Path) -> None:
    model = tiny_model()
    torch.manual_seed(0)
    network = Representation(model.subject_encoder.sizes, 8).eval().requires_grad_(False)
    words, names = model.category_tokenizer, ("dog", "tiger")
    features = category_features(network, words, names)
    save_describer(Describer(network, words, PhotoSettings(side=32), names, features, name="x"), tmp_path / "one")

    def read(folder: Path) -> None:
        describe(load_describer(folder), photo(0), DescribeRequest(text="a dog", count=2, fit="pad"))

    read(tmp_path / "one")
    files = ("config.json", "preprocessor_config.json", "categories.json")
    fuzz(damaged(tmp_path / "one", files), reader(tmp_path / "one", read), content=told, share=0.2)


@pytest.mark.parametrize("whole", SCHEDULERS, ids=lambda one: one["_class_name"])
def test_configurations_of_a_scheduler(whole: dict[str, object], fuzz: Fuzz, whole_model: Path, tmp_path: Path) -> None:
    from blipdiff.checkpoints.configs import read_json
    from blipdiff.checkpoints.scheduler_fields import scheduler_config

    path = tmp_path / "scheduler_config.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        known = scheduler_config(read_json(path))
        for name in (None, "pndm", "dpm++2m-karras"):
            set_timesteps(build_scheduler(name, known), 5)

    read(json.dumps(whole).encode())
    fuzz(damaged_text(whole), read, content=bytes, share=0.2)
