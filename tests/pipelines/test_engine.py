"""Which engine draws: how it is chosen, what runs are torch's in any case, and what pictures tell of it."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from blipdiff.checkpoints.controls import save_control
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.devices import Placement
from blipdiff.errors import ConfigError
from blipdiff.sampling.acceleration import accelerate
from blipdiff.sampling.loop import Step
from blipdiff.sampling.openvino_engine import engine as engines
from blipdiff.sampling.openvino_engine.engine import Engine, Room
from blipdiff.sampling.openvino_engine.library import NAME, installed, library
from blipdiff.sampling.openvino_engine.network import room
from blipdiff.stand_ins import computed
from pipelines import studio as studios
from pipelines.controls.settings import ControlSettings
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.metadata import job_of
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Notice, Result, task_named
from tests.support.openvino_nets import needs_openvino, tells_of_time
from tests.support.studios import asked, counted, dog, drawn, job, picture_of, pictures, pixels, run
from tests.support.tiny_models import cut_out, photo, tiny_controlnet, tiny_model

CPU = Placement(torch.device("cpu"), torch.float32)
NEAR = 1  # of 255: pixels of both engines in float32 round to the same or to the next value


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture
def studio(converted: Path) -> Studio:
    return Studio(tiny_model(), engine="openvino", converted=converted)


def notices(events) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and not tells_of_time(event.text)]


def prepared(studio: Studio, one: Job) -> Iterator[Step]:
    """The steps of a job's first round."""
    (first,) = islice(task_named(one.task).prepare(studio, one.opened()).rounds(), 1)
    return studio.in_turns(first.steps)


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it fails, as where it is not installed."""
    monkeypatch.setitem(sys.modules, NAME, None)


@needs_openvino
def test_a_run_without_taps_calls_torchs_networks_never(studio: Studio) -> None:
    exact = drawn(Studio(tiny_model(), engine="torch"), count=2)
    with counted(studio.model.unet) as unet, counted(studio.model.vae.decoder) as vae:
        found = drawn(studio, count=2)
    assert (unet, vae) == ([], [])
    assert max(np.abs(a - b).max() for a, b in zip(exact, found, strict=True)) <= NEAR
    assert [np.array_equal(a, b) for a, b in zip(found, drawn(studio, count=2), strict=True)] == [True, True]


@needs_openvino
def test_what_predicts_is_at_rest_while_pictures_are_decoded_and_the_other_way_round(studio: Studio) -> None:
    drawn(studio, steps=2)
    networks = {one._kind: one for one in studio.engine._networks}
    assert (networks["unet"]._has_computed, networks["vae"]._has_computed) == (False, True)
    next(prepared(studio, job(steps=2)))
    assert (networks["unet"]._has_computed, networks["vae"]._has_computed) == (True, False)


@needs_openvino
def test_runs_that_look_into_the_unet_are_torchs_to_the_bit(studio: Studio) -> None:
    subject = SubjectPhoto(cut_out(), "dog")
    one = Job.of(asked(steps=2, detail=0.8), subject=subject)
    exact, latents = Studio(tiny_model(), engine="torch"), []
    for each in (exact, studio):
        steps = [*prepared(each, one)]
        latents.append(steps[-1].latents)
    assert torch.equal(*latents)
    with counted(studio.model.unet) as calls:
        list(run_job(studio, one))
    assert len(calls) >= 2


@needs_openvino
def test_a_followed_structure_is_computed_with_the_unet(converted: Path, tmp_path: Path) -> None:
    save_control(tiny_controlnet(), tmp_path / "edges")
    control = ControlSettings(control=str(tmp_path / "edges"), preprocessor="tile", map_settings={"factor": 2})
    request = StylizeRequest(category="dog", steps=2, count=1, width=16, height=16, controls=(control,))
    one, found = Job.of(request, subject=dog(), structure=photo(4)), []
    for engine in ("torch", "openvino"):
        studio = Studio(tiny_model(), engine=engine, converted=converted)
        net = studio.nets.net(control.control)
        with counted(studio.model.unet) as unet, counted(net.controlnet_mid_block) as residuals:
            found += [pixels(picture) for picture in pictures(run_job(studio, one))]
        assert bool(unet) == bool(residuals) == (engine == "torch")
    assert np.abs(found[0] - found[1]).max() <= NEAR


@needs_openvino
def test_a_picture_tells_its_engine_and_is_repeated_by_it_to_the_bit(studio: Studio) -> None:
    picture = picture_of(studio, steps=2)
    told = picture.metadata()
    assert told["place"]["engine"] == f"openvino {installed()}"
    again = list(run_job(studio, job_of(told)))
    assert notices(again) == []
    (repeated,) = pictures(again)
    assert np.array_equal(pixels(repeated), pixels(picture))


@needs_openvino
def test_a_repeat_by_another_engine_says_so_in_one_sentence(studio: Studio, converted: Path) -> None:
    torchs = Studio(tiny_model())
    own, others = picture_of(studio, steps=2).metadata(), picture_of(torchs, steps=2).metadata()
    name = f"openvino {installed()}"
    assert notices(run_job(torchs, job_of(own))) == [
        f"The picture was drawn by {name}, and is drawn by torch now; it may differ in the last digits."
    ]
    studio = Studio(tiny_model(), engine="openvino", converted=converted)
    assert notices(run_job(studio, job_of(others))) == [
        f"The picture was drawn by torch, and is drawn by {name} now; it may differ in the last digits."
    ]
    del others["place"]["engine"]  # of an earlier version
    assert notices(run_job(torchs, job_of(others))) == []


@needs_openvino
def test_auto_is_openvino_for_full_size_alone(monkeypatch: pytest.MonkeyPatch, converted: Path) -> None:
    unet = tiny_model().unet
    assert not Engine.chosen("auto", CPU, unet, converted)._uses_openvino
    monkeypatch.setattr(engines, "FULL_SIZE", 1000)
    assert Engine.chosen("auto", CPU, unet, converted)._uses_openvino
    for place in (Placement(torch.device("cuda"), torch.bfloat16), replace(CPU, dtype=torch.float16)):
        engine = Engine.chosen("auto", place, unet, converted)
        assert (engine._uses_openvino, engine.notices()) == (False, [])
    assert not Engine.chosen("torch", CPU, unet, converted)._uses_openvino


@needs_openvino
def test_auto_is_torch_where_memory_does_not_suffice_and_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, converted: Path
) -> None:
    monkeypatch.setattr(engines, "FULL_SIZE", 1000)
    model = tiny_model()
    needed = room(model.unet) + 10**9
    scarce = Room(lambda: needed - 1, lambda: 10**9)
    engine = Engine.chosen("auto", CPU, model.unet, converted, scarce)
    assert accelerate(model, CPU, engine).engine == "torch (too little memory for OpenVINO)"
    assert engine.notices() == ["OpenVINO takes 1.0 GB more, and 1.0 GB are free; torch computes."]
    assert engine.name == "torch", "as pictures tell it"
    assert Engine.chosen("auto", CPU, model.unet, converted, Room(lambda: needed, lambda: 10**9))._uses_openvino
    outright = Engine.chosen("openvino", CPU, model.unet, converted, Room(lambda: 0))
    assert accelerate(model, CPU, outright).engine == f"openvino {installed()}"
    assert computed(model.vae, torch.zeros(1, 4, 8, 8)) is not None
    assert outright.notices() == []


@needs_openvino
def test_a_studio_reckons_with_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch, converted: Path) -> None:
    monkeypatch.setattr(engines, "FULL_SIZE", 1000)
    monkeypatch.setattr(studios, "free_memory", lambda _device: 1000)
    studio = Studio(tiny_model(), converted=converted)
    events = list(run(studio, steps=1))
    (sentence,) = notices(events)
    assert sentence.endswith(" GB more, and 0.0 GB are free; torch computes.")
    monkeypatch.setattr(studios, "free_memory", lambda _device: 1 << 40)
    assert picture_of(Studio(tiny_model(), converted=converted)).metadata()["place"]["engine"].startswith(NAME)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="The engine 'onnx' is not known; choose auto, torch, openvino"):
        Studio(tiny_model(), engine="onnx")


def test_where_it_is_absent_torch_draws_and_one_sentence_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = drawn(Studio(tiny_model(), engine="torch"))
    without_openvino(monkeypatch)
    studio = Studio(tiny_model(), engine="openvino")
    events = list(run(studio))
    assert notices(events) == [
        "torch computes. OpenVINO is not installed, or cannot be loaded here: pip install 'blipdiff[openvino]'."
    ]
    (picture,) = [event.picture for event in events if isinstance(event, Result)]
    assert np.array_equal(pixels(picture), exact[0])
    assert picture.metadata()["place"]["engine"] == "torch"
    assert notices(run(studio)) == [], "once"


def test_by_itself_it_says_what_to_install_for_full_size_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    without_openvino(monkeypatch)
    assert notices(run(Studio(tiny_model()), steps=1)) == []
    monkeypatch.setattr(engines, "FULL_SIZE", 1000)
    assert notices(run(Studio(tiny_model()), steps=1)) == [
        "torch computes. OpenVINO is not installed, or cannot be loaded here: pip install 'blipdiff[openvino]'."
    ]


def test_a_device_that_it_does_not_know_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.chosen("openvino", Placement(torch.device("cuda"), torch.bfloat16), tiny_model().unet)
    assert engine.notices() == [
        "torch computes. OpenVINO computes on processors, in float32 and bfloat16; this is bfloat16 on cuda."
    ]


@needs_openvino
def test_the_report_of_acceleration_names_the_engine(converted: Path) -> None:
    model = tiny_model()
    assert accelerate(model, CPU).engine == "torch"
    engine = Engine.chosen("openvino", CPU, model.unet, converted)
    assert accelerate(model, CPU, engine).engine == f"openvino {installed()}"
    latents = torch.zeros(1, 4, 8, 8)
    assert computed(model.vae, latents) is not None
    assert accelerate(model, CPU, Engine()).engine == "torch"
    assert computed(model.vae, latents) is None


@needs_openvino
def test_a_network_that_fails_is_said_with_the_picture_that_torch_draws(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    studio = Studio(tiny_model(), engine="openvino", converted=tmp_path / "file")
    events = list(run(studio, steps=1))
    assert [text.partition(" (")[0] for text in notices(events)] == [
        "OpenVINO does not compute the U-Net",
        "OpenVINO does not compute the VAE",
    ]
    (picture,) = [event.picture for event in events if isinstance(event, Result)]
    assert picture.metadata()["place"]["engine"] == "torch"
    assert np.array_equal(pixels(picture), drawn(Studio(tiny_model()), steps=1)[0])


@needs_openvino
def test_its_usage_statistics_are_switched_off() -> None:
    library()
    told = importlib.import_module("openvino.tools.ovc.telemetry_utils")
    assert told.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
    assert "openvino_telemetry" not in sys.modules


@needs_openvino
def test_a_job_is_a_job_whatever_draws_it(studio: Studio) -> None:
    assert picture_of(studio).metadata()["job"] == picture_of(Studio(tiny_model())).metadata()["job"]
    assert job().model is None
