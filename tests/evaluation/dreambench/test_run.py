"""A run of a benchmark: figures equal to a straight script's, taken up where it ended, by one process or several."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.evaluation.dreambench.benchmark import Benchmark, read_benchmark
from blipdiff.evaluation.dreambench.encoders import CLIP, Encoders
from blipdiff.evaluation.dreambench.page import BenchReport
from blipdiff.evaluation.dreambench.references import MASKED, RAW, WHITE, reference_variants
from blipdiff.evaluation.dreambench.scores import (
    ALL,
    CLIP_I,
    CLIP_T,
    DINO_SCORE,
    FOLLOWING,
    GIVEN,
    LIKENESS,
    OTHERS,
    REAL,
)
from pipelines.evaluate.dreambench.drawing import Shard
from pipelines.evaluate.dreambench.evaluate import draw_benchmark, report_benchmark
from pipelines.evaluate.requests import DreamBenchRequest
from pipelines.metadata import read_metadata
from pipelines.studio import Studio
from tests.evaluation.dreambench.straight import measure
from tests.support import benchmarks
from tests.support.tiny_models import tiny_model

REQUEST = DreamBenchRequest(pictures=2, steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return benchmarks.dreambench(tmp_path_factory.mktemp("data") / "dataset")


@pytest.fixture(scope="module")
def benchmark_(data: Path) -> Benchmark:
    return read_benchmark(data)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return benchmarks.encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="module")
def encoders(places: tuple[Path, Path]) -> Encoders:
    return Encoders.load(*map(str, places))


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def whole(benchmark_: Benchmark, studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "whole"
    drawn = list(draw_benchmark(studio, benchmark_, place, REQUEST))
    assert (drawn[0].done, drawn[-1].done, drawn[-1].total) == (0, 18, 18)
    return place


def report_of(*given: object, **options: object) -> BenchReport:
    *_, report = report_benchmark(*given, **options)  # type: ignore[arg-type]
    assert isinstance(report, BenchReport)
    return report


def pixels(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): np.asarray(Image.open(path)).tobytes()
        for path in sorted((place / "pictures").rglob("*.png"))
    }


def test_the_figures_are_those_of_a_straight_script(
    data: Path, places: tuple[Path, Path], encoders: Encoders, benchmark_: Benchmark, whole: Path
) -> None:
    report, straight = report_of(encoders, benchmark_, whole), measure(data, whole, *places)
    assert report.figure(LIKENESS, DINO_SCORE, column=RAW, cases=ALL).value == pytest.approx(straight["DINO"], abs=1e-5)
    assert report.figure(LIKENESS, CLIP_I, column=RAW, cases=ALL).value == pytest.approx(straight["CLIP-I"], abs=1e-5)
    assert report.figure(FOLLOWING, CLIP_T).value == pytest.approx(straight["CLIP-T"], abs=1e-5)


def test_all_references_are_those_that_were_given_and_the_others(
    encoders: Encoders, benchmark_: Benchmark, whole: Path
) -> None:
    report_of(encoders, benchmark_, whole)
    (kept,) = (whole / "scores").iterdir()
    told = json.loads((kept / "dog6.json").read_text())["pictures"][0][1]
    row = told["cosines"][DINO_SCORE][RAW]
    assert (len(row), told["given"]) == (5, [0])
    report = report_of(encoders, benchmark_, whole)
    dogs = report.subjects["dog6"][DINO_SCORE]
    assert dogs.count == 6
    figures = {which: report.figure(LIKENESS, DINO_SCORE, column=RAW, cases=which) for which in (ALL, OTHERS, GIVEN)}
    assert (
        figures[OTHERS].value < figures[ALL].value < figures[GIVEN].value or figures[GIVEN].value < figures[ALL].value
    )
    assert report.figure(REAL, CLIP_I).count == 15 + 10 + 10


def test_what_is_missing_is_drawn_to_the_same_bits_and_what_is_there_is_left(
    benchmark_: Benchmark, studio: Studio, whole: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    begun = draw_benchmark(studio, benchmark_, place, REQUEST)
    while next(begun).done < 5:
        pass
    begun.close()  # as if it were stopped in the middle of a prompt
    assert len(pixels(place)) == 5
    kept = {path: path.stat().st_mtime_ns for path in (place / "pictures").rglob("*.png")}
    assert next(draw_benchmark(studio, benchmark_, place, REQUEST)).done == 5
    list(draw_benchmark(studio, benchmark_, place, REQUEST))
    assert pixels(place) == pixels(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_shards_draw_different_parts_of_the_same_run(
    benchmark_: Benchmark, studio: Studio, whole: Path, tmp_path: Path
) -> None:
    place, counts = tmp_path / "run", list[int]()
    for number in (1, 2):
        *_, last = draw_benchmark(studio, benchmark_, place, REQUEST, shard=Shard(number, 2))
        assert last.done == last.total
        counts.append(len(pixels(place)))
    assert counts == [10, 18]
    assert pixels(place) == pixels(whole)
    assert Shard.of("2/8") == Shard(2, 8)
    for wrong in ("0/2", "3/2", "2", "a/b", "1/100000"):
        with pytest.raises(ConfigError, match="2/8"):
            Shard.of(wrong)


def test_a_limit_draws_the_first_prompts_of_all_subjects(benchmark_: Benchmark, studio: Studio, tmp_path: Path) -> None:
    *_, last = draw_benchmark(studio, benchmark_, tmp_path / "run", REQUEST, limit=6)
    assert last.done == last.total == 6
    assert {path.name[:2] for path in (tmp_path / "run" / "pictures").rglob("*.png")} == {"00"}


def test_other_settings_another_model_and_other_photos_are_refused(
    benchmark_: Benchmark, studio: Studio, whole: Path, encoders: Encoders
) -> None:
    with pytest.raises(ConfigError, match="steps 2 there and 3 here"):
        next(draw_benchmark(studio, benchmark_, whole, replace(REQUEST, steps=3)))
    with pytest.raises(ConfigError, match="another model"):
        next(draw_benchmark(Studio(tiny_model(1)), benchmark_, whole, REQUEST))
    other = replace(benchmark_, subjects=benchmark_.subjects[:2])
    with pytest.raises(ConfigError, match="other photos or prompts"):
        next(draw_benchmark(studio, other, whole, REQUEST))
    with pytest.raises(ConfigError, match="other photos or prompts"):
        report_of(encoders, other, whole)
    with pytest.raises(ConfigError, match=r"no run of a benchmark: there is no run\.json"):
        report_of(encoders, benchmark_, whole.parent)


@pytest.mark.parametrize("condition", ["each", "all"])
def test_each_photo_in_turn_and_all_of_them_give_other_pictures(
    benchmark_: Benchmark, studio: Studio, whole: Path, tmp_path: Path, encoders: Encoders, condition: str
) -> None:
    list(draw_benchmark(studio, benchmark_, tmp_path, replace(REQUEST, condition=condition), limit=4))
    ours, theirs = pixels(tmp_path), pixels(whole)
    same = [name for name, drawn in ours.items() if drawn == theirs[name]]
    assert all(name.endswith("-0.png") for name in same) if condition == "each" else not same
    report_of(encoders, benchmark_, tmp_path)
    (kept,) = (tmp_path / "scores").iterdir()
    given = [one["given"] for _, one in json.loads((kept / "vase.json").read_text())["pictures"]]
    assert given == ([[0], [1]] if condition == "each" else [list(range(6))] * 2)


def test_a_picture_keeps_its_words_and_draws_itself_again(whole: Path) -> None:
    told = read_metadata(whole / "pictures" / "dog6" / "02-1.png")
    asked = told["job"]["request"]
    assert (asked["category"], asked["target"], asked["prompt"]) == ("dog", "red dog", "")
    assert told["seed"] == 2 * (3 + 2) + 1
    assert told["job"]["index"] == 1


def test_scores_are_kept_and_a_picture_that_changed_is_scored_again(
    encoders: Encoders, benchmark_: Benchmark, studio: Studio, tmp_path: Path
) -> None:
    list(draw_benchmark(studio, benchmark_, tmp_path, REQUEST, limit=6))
    first = report_of(encoders, benchmark_, tmp_path)
    (kept,) = (tmp_path / "scores").iterdir()
    times = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    again = report_of(encoders, benchmark_, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == times
    assert again.as_json() == first.as_json()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / "vase" / "00-0.png")
    changed = report_of(encoders, benchmark_, tmp_path)
    assert changed.subjects["vase"] != first.subjects["vase"]
    assert changed.subjects["dog6"] == first.subjects["dog6"]
    (kept / "vase.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged; delete it"):
        report_of(encoders, benchmark_, tmp_path)


def test_a_better_mask_changes_the_variants_and_not_the_raw_figures(
    encoders: Encoders, benchmark_: Benchmark, studio: Studio, tmp_path: Path
) -> None:
    list(draw_benchmark(studio, benchmark_, tmp_path, REQUEST, limit=2))
    for subject in benchmark_.subjects:
        for photo in subject.photos:
            mask = Image.new("L", Image.open(photo).size)
            mask.paste(255, (10, 10, 40, 50))
            (tmp_path / "masks" / subject.name).mkdir(parents=True, exist_ok=True)
            mask.save(tmp_path / "masks" / subject.name / f"{photo.stem}.png")
    before = report_of(encoders, benchmark_, tmp_path)
    for path in (tmp_path / "masks").rglob("*.png"):
        Image.new("L", Image.open(path).size, 255).save(path)
    after = report_of(encoders, benchmark_, tmp_path)

    def of(report: BenchReport, variant: str) -> float:
        return report.figure(LIKENESS, DINO_SCORE, column=variant, cases=ALL).value

    assert of(after, RAW) == of(before, RAW)
    assert of(after, WHITE) != of(before, WHITE)
    assert of(after, MASKED) == pytest.approx(of(after, RAW), abs=1e-6)  # nothing is masked away any more
    shown = reference_variants(photo, mask, (1, 2, 3))
    assert Image.Image.getpixel(shown[WHITE], (0, 0)) == (255, 255, 255)
    assert Image.Image.getpixel(shown[MASKED], (0, 0)) == (1, 2, 3)


def test_a_run_against_itself_differs_in_nothing_and_another_one_picture_by_picture(
    encoders: Encoders, benchmark_: Benchmark, studio: Studio, whole: Path, tmp_path: Path
) -> None:
    same = report_of(encoders, benchmark_, whole, against=whole)
    assert [(one.difference.value, one.chance) for one in same.comparison] == [(0, 1)] * 3
    list(draw_benchmark(studio, benchmark_, tmp_path, replace(REQUEST, seed=100), limit=6))
    other = report_of(encoders, benchmark_, tmp_path, against=whole)
    by_metric = {one.metric: one for one in other.comparison}
    assert by_metric[CLIP_T].difference.count == 6
    one = by_metric[DINO_SCORE]
    assert one.difference.value == pytest.approx(one.ours.value - one.theirs.value)
    assert "Against whole" in (tmp_path / "report.html").read_text()


def test_the_page_tells_published_figures_subjects_and_pictures_and_fetches_nothing(
    encoders: Encoders, benchmark_: Benchmark, whole: Path
) -> None:
    report_of(encoders, benchmark_, whole, shown=2)
    page = (whole / "report.html").read_text()
    assert page.count("<img") == 3 * (1 + 2)
    assert "http" not in page
    for words in ("18 of 18 pictures", "BLIP-Diffusion, zero-shot", "0.594", "wolf_plushie", "a red dog", "this run"):
        assert words in page


def test_a_benchmark_of_one_picture_each_has_its_own_published_number(
    encoders: Encoders, studio: Studio, tmp_path: Path
) -> None:
    plus = read_benchmark(benchmarks.dreambench_plus(tmp_path / "data"))
    *_, last = draw_benchmark(studio, plus, tmp_path / "run", DreamBenchRequest(steps=1))
    assert last.total == 18
    report = report_of(encoders, plus, tmp_path / "run")
    assert (report.drawn, report.planned) == (18, 18)
    assert "Published figures" not in report.as_html()


def test_encoders_that_are_not_there_are_named_with_where_they_are_had(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=rf"CLIP is needed to score .*'{CLIP}' is not on this machine.*605 MB"):
        Encoders.load(str(places[0]))
    with pytest.raises(CheckpointError, match=r"DINO is needed to score .*no folder"):
        Encoders.load(str(tmp_path / "none"), str(places[1]))
    with pytest.raises(CheckpointError, match=r"do not fit the DINO|DINO's ViT"):
        Encoders.load(str(places[1]), str(places[1]))
    for path in places[1].iterdir():
        if "token" not in path.name and "vocab" not in path.name and "merges" not in path.name:
            (tmp_path / "wordless").mkdir(exist_ok=True)
            (tmp_path / "wordless" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="no words for CLIP"):
        Encoders.load(str(places[0]), str(tmp_path / "wordless"))


def test_the_way_of_resizing_is_another_score(places: tuple[Path, Path], encoders: Encoders) -> None:
    configured = Encoders.load(*map(str, places), resize="configured")
    assert configured.key != encoders.key
    picture = [Image.radial_gradient("L").convert("RGB").resize((90, 50))]
    assert not np.allclose(configured.dino.pictures(picture), encoders.dino.pictures(picture), atol=1e-3)
    assert np.allclose(np.linalg.norm(configured.dino.pictures(picture), axis=1), 1, atol=1e-5)
