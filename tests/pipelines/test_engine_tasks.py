"""What OpenVINO computes of each task, and what stays torch's: pictures are those of torch in either case."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipdiff.checkpoints import Additions
from blipdiff.checkpoints.additions import added
from blipdiff.checkpoints.lora import Lora
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.blend.request import BlendRequest
from pipelines.edit.request import EditRequest
from pipelines.generate.request import AttendRequest
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from tests.support.brought import factors, write_kohya
from tests.support.openvino_nets import needs_openvino
from tests.support.studios import asked, counted, dog, drawn, pictures, pixels
from tests.support.tiny_models import cut_out, photo, tiny_model

pytestmark = needs_openvino

NEAR = 1  # of 255: as in test_engine
WHOLE = (0.0, 0.0, 1.0, 1.0)
SIZE: dict[str, Any] = {"width": 16, "height": 16, "steps": 2}
BY_OPENVINO = {
    "generate": Job.of(asked(**SIZE), subject=dog()),
    "a seed's variations": Job.of(asked(variation=0.2, **SIZE), subject=dog()),
    "blend": Job.of(BlendRequest(frames=2, **SIZE), subject=[dog(), dog(1)]),
}
BY_TORCH = {
    "attend": Job.of(AttendRequest(category="dog", **SIZE), subject=dog()),
    "scene": Job.of(SceneRequest(prompt="a {dog}", **SIZE), subject=Input(dog(), "dog", box=WHOLE)),
    "edit": Job.of(EditRequest(source="dog", target="tiger", from_prompt=True, **SIZE), subject=dog()),
    "edit of a photo": Job.of(
        EditRequest(source="dog", target="tiger", **SIZE), subject=dog(), source=photo(3)
    ),
    "details": Job.of(asked(detail=0.8, **SIZE), subject=SubjectPhoto(cut_out(), "dog")),
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


def both(one: Job, converted: Path) -> tuple[list[list[int]], list[list[int]], int]:
    """Calls of torch's U-Net and of its decoder under either engine, and how far the pictures are apart."""
    unet, vae, found = [], [], []
    for engine in ("torch", "openvino"):
        studio = Studio(tiny_model(), engine=engine, converted=converted)
        with counted(studio.model.unet) as steps, counted(studio.model.vae.decoder) as decoded:
            found.append([pixels(picture) for picture in pictures(run_job(studio, one))])
        unet.append(steps)
        vae.append(decoded)
    assert len(found[0]) == len(found[1]) > 0
    return unet, vae, max(int(np.abs(a - b).max()) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("task", BY_OPENVINO)
def test_what_needs_the_networks_alone_is_openvinos(task: str, converted: Path) -> None:
    unet, vae, apart = both(BY_OPENVINO[task], converted)
    assert unet[0] and vae[0]
    assert (unet[1], vae[1]) == ([], [])
    assert apart <= NEAR


@pytest.mark.parametrize("task", BY_TORCH)
def test_what_looks_into_the_unet_is_torchs_and_decoded_by_openvino(task: str, converted: Path) -> None:
    unet, vae, apart = both(BY_TORCH[task], converted)
    assert unet[0] == unet[1] != []
    assert vae[0]
    assert vae[1] == []
    assert apart <= NEAR


def test_a_lora_is_converted_with_what_it_lies_on(tmp_path: Path, converted: Path) -> None:
    file = write_kohya(factors(tiny_model()), tmp_path / "chalk.safetensors")
    given = Additions(loras=(Lora(str(file), 0.8),))
    plain = drawn(Studio(tiny_model(), engine="torch"))
    exact = drawn(Studio(added(tiny_model(), given), engine="torch"))
    studio = Studio(added(tiny_model(), given), engine="openvino", converted=converted)
    with counted(studio.model.unet) as calls:
        found = drawn(studio)
    assert calls == []
    assert np.abs(found[0] - exact[0]).max() <= NEAR < np.abs(found[0] - plain[0]).max()
