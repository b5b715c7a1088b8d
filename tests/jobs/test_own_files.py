"""Files that people bring: listed, kept, named by jobs, on the model for their pictures, known again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save, save_file

from app.jobs.history import Search
from app.jobs.models import Models
from app.jobs.opening import opener
from app.jobs.own_files import OwnFiles
from app.jobs.recall import recalled
from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import Machine, Workshop
from blipdiff.checkpoints import save_model
from blipdiff.errors import BlipdiffError, CheckpointError, ConfigError
from pipelines.added import Added, added_from, added_in
from pipelines.job import Job
from pipelines.metadata import read_metadata, repeat
from pipelines.studio import Studio
from tests.support.brought import factors, sd_tensors, vectors, write_embedding, write_kohya
from tests.support.every_job import style
from tests.support.original_names import to_ldm_control, to_ldm_vae
from tests.support.studios import dog, drawn, job
from tests.support.tiny_models import photo, tiny_controlnet, tiny_model
from tests.support.workshops import pixels
from tests.support.wrong_files import CASES, torch_file


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what an operator has."""
    place = tmp_path_factory.mktemp("lent")
    (place / "Lora").mkdir()
    write_kohya(factors(tiny_model()), place / "Lora" / "chalk.safetensors", {"modelspec.trigger_phrase": "chalk"})
    write_embedding(place / "bad.pt", vectors())
    (place / "notes.txt").write_text("mine")
    (place / "damaged.safetensors").write_bytes(b"\x10")
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(tiny_model(), folder)
    return str(folder)


@pytest.fixture
def files(tmp_path: Path, lent: Path) -> OwnFiles:
    return OwnFiles([tmp_path / "files", lent])


@pytest.fixture
def workshop(tmp_path: Path, model: str, files: OwnFiles) -> Iterator[Workshop]:
    machine = Machine((model,), opener(dtype="float32", files=files), ("cpu",), files=files)
    made = Workshop(tmp_path / "work", machine, library=tmp_path / "subjects")
    made.start()
    yield made
    made.close()


def with_chalk(weight: float = 0.8, **changes: object) -> Job:
    return replace(job(seed=3, **changes), added=added_from([{"name": "chalk", "weight": weight}]))


def picture(made: Workshop, one: Job, model: str = "") -> tuple[np.ndarray, Path]:
    ticket = made.wait(made.submit(one, Sender(), Asked(model=model)).id, 60)
    assert ticket.state == "done", ticket.error
    [entry] = [made.history.entry(name) for name in made.results(ticket)]
    return pixels(made, ticket.id)[0], made.history.file(entry)


def test_what_lies_in_folders_is_told_by_what_it_holds(files: OwnFiles) -> None:
    assert [(one.kind, one.called, one.words) for one in files.all()] == [
        ("embedding", "bad", ("bad",)),
        ("LoRA", "chalk", ("chalk",)),
    ]
    with pytest.raises(ConfigError, match="no LoRA 'none' here; there are: chalk"):
        files.named("LoRA", "none")
    with pytest.raises(ConfigError, match="was not uploaded here"):
        files.remove("chalk.safetensors")


def test_a_file_that_somebody_brings_is_kept_once_and_removed(files: OwnFiles, lent: Path, tmp_path: Path) -> None:
    brought = tmp_path / "other name.safetensors"
    brought.write_bytes((lent / "Lora" / "chalk.safetensors").read_bytes())
    kept = files.keep(brought)
    assert (kept.kind, kept.name, kept.is_uploaded) == ("LoRA", "other-name.safetensors", True)
    assert files.keep(brought, "again.safetensors").place == kept.place
    write_kohya(factors(tiny_model(), ends=("to_q",)), brought)
    assert files.keep(brought).name == "other-name-2.safetensors"
    files.remove(kept.name)
    assert not kept.place.exists()
    with pytest.raises(ConfigError, match="There is no room"):
        OwnFiles([tmp_path / "small"], most=10).keep(brought)


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        (name, kind, content)
        for _, name, kind, content, _ in CASES
        if ("wide" not in name and "damaged" in kind) or "XL" in kind
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_is_refused_in_one_sentence_and_not_kept(
    files: OwnFiles, tmp_path: Path, name: str, kind: str, content: object
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_bytes(save(content) if path.suffix == ".safetensors" else torch_file({"state_dict": content}))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError) as found:
        files.keep(path)
    assert kind in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "files").exists()


def test_a_job_draws_with_its_lora_and_the_next_one_without(workshop: Workshop, model: str, lent: Path) -> None:
    plain, _ = picture(workshop, job(seed=3))
    chalked, path = picture(workshop, with_chalk())
    again, _ = picture(workshop, job(seed=3))
    wanted = drawn(
        Studio.open(model, device="cpu", dtype="float32", loras=[f"{lent / 'Lora' / 'chalk.safetensors'}:0.8"]), seed=3
    )
    assert np.array_equal(plain, again)
    assert not np.array_equal(plain, chalked)
    assert np.array_equal(chalked, wanted[0])
    assert str(lent) not in json.dumps(read_metadata(path))


def test_a_picture_brings_its_files_back_and_is_drawn_again(workshop: Workshop) -> None:
    first, path = picture(workshop, with_chalk(0.5, prompt="on a bad beach"))
    kept = repeat(path)
    assert [(one.kind, one.name, one.weight) for one in kept.added] == [
        ("LoRA", "chalk", 0.5),
        ("embedding", "bad", None),
    ]
    [entry] = workshop.history.search(Search(), most=5)
    assert recalled(workshop, entry).added == kept.added
    second, _ = picture(workshop, kept)
    assert np.array_equal(first, second)
    assert Job.from_json(kept.to_json()).added == kept.added


def test_an_embedding_is_on_the_model_where_the_prompt_has_its_word(workshop: Workshop) -> None:
    named = workshop.files.completed(job(prompt="a Bad day"))
    assert [(one.kind, one.name) for one in named.added] == [("embedding", "bad")]
    assert workshop.files.completed(job(prompt="a badge")).added == ()


def test_a_file_that_is_gone_is_asked_for(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no LoRA 'other' here; there are: chalk"):
        workshop.submit(replace(job(), added=added_from([{"name": "other"}])), Sender())
    lost = Added("LoRA", "chalk", 1.0, "0" * 16)
    with pytest.raises(ConfigError, match=r"LoRA chalk \(0000000000000000\) is not among the files here"):
        workshop.submit(replace(job(), added=(lost,)), Sender())


def test_another_vae_is_a_model_of_its_own(workshop: Workshop, model: str, tmp_path: Path) -> None:
    tensors = to_ldm_vae(sd_tensors(tiny_model(1), 0.1)["vae"])
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "soft.safetensors")
    assert workshop.files.keep(tmp_path / "soft.safetensors").kind == "VAE"
    name = f"{model} + soft.safetensors"
    workshop.offer(name)
    plain, _ = picture(workshop, job(seed=3))
    soft, path = picture(workshop, job(seed=3), name)
    assert not np.array_equal(plain, soft)
    assert read_metadata(path)["model"]["name"] == "tiny + soft.safetensors"
    assert workshop.files.parts(model) is None
    with pytest.raises(ConfigError, match="which is not here any more"):
        workshop.files.parts(f"{model} + gone.safetensors")


def test_a_controlnet_is_followed_by_its_files_name(workshop: Workshop, tmp_path: Path) -> None:
    net = tiny_controlnet()
    named = to_ldm_control(net.state_dict(), net.config.layers_per_block)
    tensors = {f"control_model.{name}": value.contiguous() for name, value in named.items()}
    save_file(tensors, tmp_path / "edges.safetensors")
    assert workshop.files.keep(tmp_path / "edges.safetensors").kind == "ControlNet"
    request = style(Path("edges.safetensors"))
    _, path = picture(workshop, Job.of(replace(request, count=1), subject=dog(), structure=photo(4)))
    [told] = read_metadata(path)["job"]["request"]["controls"]
    assert (told["control"], len(told["fingerprint"])) == ("edges.safetensors", 16)
    [kept] = workshop.queue.job(workshop.queue.tickets(most=1)[0].id).request.controls
    assert kept.control == "edges.safetensors", "a job names no place"


@pytest.mark.parametrize(
    "told",
    [
        "chalk", [5], [{"name": ""}], [{"name": "a", "weight": "1"}], [{"name": "a", "weight": 11}],
        [{"name": "a", "weight": float("nan")}], [{"name": "a", "weight": True}], [{"kind": "VAE", "name": "a"}],
        [{"name": "a", "path": "/etc/passwd"}], [{"name": "a"}, {"name": "a"}],
        [{"kind": "embedding", "name": "a", "weight": 1}],
        [{"name": "a", "fingerprint": "x"}], [{"name": f"{number}"} for number in range(40)],
    ],
)  # fmt: skip
def test_what_is_nothing_to_draw_with_is_refused(told: object) -> None:
    with pytest.raises(ConfigError):
        added_from(told)


def test_pictures_of_earlier_versions_tell_their_files_by_the_parts_of_their_model() -> None:
    parts = {"unet": "0" * 16, "LoRA my chalk at 3 at -0.5": "1" * 16, "embedding <cat>": "2" * 16}
    assert added_in(parts) == (
        Added("LoRA", "my chalk at 3", -0.5, "1" * 16),
        Added("embedding", "<cat>", None, "2" * 16),
    )
    assert added_in(None) == ()


def test_a_job_is_not_drawn_without_its_files() -> None:
    from pipelines.job import run

    with pytest.raises(
        BlipdiffError, match=r"with the LoRA chalk at 0\.8, which is not on the model; give its file with --lora"
    ):
        next(run(Studio(tiny_model()), with_chalk()))


def test_of_a_model_one_with_files_on_it_is_kept_beside_the_plain_one() -> None:
    opened: list[tuple[str, ...]] = []

    def open_one(name: str, *added: tuple[Added, ...]) -> Studio:
        opened.append((name, *(one.part for several in added for one in several)))
        return Studio(tiny_model())

    models = Models(("a", "b"), open_one)
    chalk, soft = (Added("LoRA", "chalk", 0.5),), (Added("LoRA", "chalk", 0.75),)
    for added in ((), chalk, (), chalk, soft, ()):
        models.get("a", added)
    assert opened == [("a",), ("a", "LoRA chalk at 0.5"), ("a", "LoRA chalk at 0.75")]
    assert list(models.loaded) == ["a, LoRA chalk at 0.75", "a"]
    assert models.ready("a") is models.get("a")
    models.get("b")
    models.offer("c")
    models.keep_only("a", soft)
    assert list(models.loaded) == ["a, LoRA chalk at 0.75"]
