"""Stage 1: who sees whom under each mask, what the loss leaves out, and a describer from training to its command."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from PIL import Image

from blipdiff.checkpoints.describer import load_describer, save_describer
from blipdiff.data import PairLibrary
from blipdiff.data.captions import main_colour
from blipdiff.data.varied import VariedPairs
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.representation import Representation, causal_mask
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, VisionSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training import stage1
from blipdiff.training.batches import DescribedBatches
from blipdiff.training.config import load_describer_recipe
from blipdiff.training.stage1 import RepresentationObjective
from blipdiff.training.vocabulary import train_category_tokenizer
from pipelines.describe import measure_categories
from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]

HALF = torch.tensor([0.5, 0.5, 0.5])


def sizes(vocabulary: int) -> SubjectEncoderSizes:
    return SubjectEncoderSizes(
        VisionSizes(width=16, depth=1, heads=2, mlp_width=32, patch=8, picture=32),
        QFormerSizes(width=16, depth=2, heads=2, mlp_width=32, vocabulary=vocabulary, positions=24, queries=4),
    )


def network(vocabulary: int = 50) -> Representation:
    torch.manual_seed(0)
    return Representation(sizes(vocabulary), 8)


@pytest.fixture(scope="module")
def batch(library: PairLibrary, tmp_path_factory: pytest.TempPathFactory):
    captions = [VariedPairs(library).draw_described(index, 0)[2] for index in range(64)]
    words = train_category_tokenizer(captions, tmp_path_factory.mktemp("words"), 300)
    return DescribedBatches(VariedPairs(library), words, 12, seed=3, named=0.7, tokens=16)[0], len(words)


def test_one_causal_pass_serves_comparing_and_captioning() -> None:
    net = network().eval()
    patches = net.visual_encoder(torch.randn(2, 3, 32, 32))
    ids, mask = torch.randint(5, 50, (2, 6)), torch.ones(2, 6, dtype=torch.long)
    queries, scores = net.itg(patches, ids, mask)
    torch.testing.assert_close(net.shared(queries), net.picture_features(patches))
    changed = ids.clone()
    changed[:, 4] = 7
    torch.testing.assert_close(net.itg(patches, changed, mask)[1][:, :4], scores[:, :4])
    assert not torch.allclose(net.itg(patches, changed, mask)[1][:, 4:], scores[:, 4:])
    assert not torch.allclose(net.itm(patches, changed, mask), net.itm(patches, ids, mask))


def test_the_causal_mask_is_that_of_the_papers_figure() -> None:
    seen = causal_mask(2, torch.tensor([[1, 1, 0]]))[0, 0].int().tolist()
    assert seen == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]


def test_padding_changes_no_feature_and_no_match() -> None:
    net = network().eval()
    patches = net.visual_encoder(torch.randn(1, 3, 32, 32))
    ids, mask = torch.tensor([[4, 9, 8]]), torch.ones(1, 3, dtype=torch.long)
    longer, longer_mask = torch.tensor([[4, 9, 8, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]])
    torch.testing.assert_close(net.text_features(longer, longer_mask), net.text_features(ids, mask))
    torch.testing.assert_close(net.itm(patches, longer, longer_mask), net.itm(patches, ids, mask))


def test_wrong_answers_are_never_of_the_same_category() -> None:
    keys = torch.tensor([1, 1, 2, 3])
    excluded = keys[:, None] == keys[None, :]
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        chosen, exist = stage1._hard(torch.randn(4, 4), excluded, generator)
        assert exist.all()
        assert not (keys[chosen] == keys).any()
    assert not stage1._hard(torch.randn(2, 2), torch.ones(2, 2, dtype=torch.bool), generator)[1].any()


def test_all_three_losses_fall_on_a_batch_that_is_seen_again(batch) -> None:
    tensors, vocabulary = batch
    net = network(vocabulary)
    objective = RepresentationObjective(net, HALF, HALF, train_trunk=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    first = last = {}
    for step in range(60):
        loss, parts = objective.loss(tensors, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (parts if step == 0 else first), parts
    for name in ("itc", "itg"):
        assert last[name] < first[name], name
    assert all(p.grad is not None for p in net.parameters())


def test_the_temperature_comes_back_from_its_bounds(batch) -> None:
    tensors, vocabulary = batch
    net = network(vocabulary)
    objective = RepresentationObjective(net, HALF, HALF, train_trunk=True)
    for far in (0.0, 7.0):
        with torch.no_grad():
            net.temp.fill_(far)
        net.zero_grad()
        objective.loss(tensors, torch.Generator().manual_seed(0))[0].backward()
        assert net.temp.item() == pytest.approx(stage1.COLDEST if far == 0 else stage1.WARMEST)
        assert float(net.temp.grad) != 0


def test_a_frozen_trunk_learns_nothing(batch) -> None:
    tensors, vocabulary = batch
    net = network(vocabulary)
    objective = RepresentationObjective(net, HALF, HALF, train_trunk=False)
    objective.loss(tensors, torch.Generator().manual_seed(0))[0].backward()
    assert all(p.grad is None for p in net.visual_encoder.parameters())
    assert net.query_tokens.grad is not None


def test_what_was_learned_goes_into_a_subject_encoder_and_back() -> None:
    net, encoder = network(50), SubjectEncoder(sizes(60))
    before = encoder.proj_layer.dense1.weight.clone(), encoder.embeddings.word_embeddings.weight.clone()
    net.give(encoder)
    torch.testing.assert_close(encoder.encoder.state_dict(), net.encoder.state_dict())
    assert torch.equal(encoder.proj_layer.dense1.weight, before[0])
    assert torch.equal(encoder.embeddings.word_embeddings.weight, before[1])  # of another vocabulary
    other = Representation(sizes(50), 8)
    other.take(encoder)
    torch.testing.assert_close(other.visual_encoder.state_dict(), net.visual_encoder.state_dict())


def test_captions_name_a_colour_only_where_it_is_true(library: PairLibrary) -> None:
    red = torch.zeros(8, 8, 4, dtype=torch.uint8).numpy()
    red[..., 0], red[..., 3] = 220, 255
    assert main_colour(red) == "red"
    red[:, :4, :3] = (20, 40, 220)
    assert main_colour(red) is None
    picture, category, said = VariedPairs(library).draw_described(3, 0)
    assert picture.shape == (32, 32, 3)
    assert category in said
    assert VariedPairs(library).draw_described(3, 0)[2] == said


def test_a_describer_is_trained_saved_and_asked_by_commands(
    blipdiff: Command,
    model: Path,
    library_folder: Path,
    library: PairLibrary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.train.describer.SAMPLED_CAPTIONS", 64)
    table = (files("blipdiff.training") / "recipes" / "describe.toml").read_text()
    changes = {"steps": 2, "batch": 8, "shared_width": 8, "vocabulary": 300}
    lines = [
        f"{key} = {changes[key]}" if (key := line.split(" =")[0]) in changes else line for line in table.splitlines()
    ]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    assert tomllib.loads("\n".join(lines))["representation"]["steps"] == 2
    ended = blipdiff(
        "train",
        tmp_path / "tiny.toml",
        "--from",
        model,
        "--data",
        library_folder,
        "--run",
        tmp_path / "run",
        "--no-compile",
    )
    assert ended.code == 0, ended.err
    folder = tmp_path / "run" / "model"
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.png")
    ended = blipdiff("describe", tmp_path / "photo.png", "--describer", folder, "--text", "a red thing", "--json")
    assert ended.code == 0, ended.err
    found = ended.answer
    assert len(found["categories"]) == 5
    assert found["text"] == "a red thing"
    assert 0 <= found["match"] <= 1

    describer = load_describer(folder)
    photo = Image.new("RGB", (40, 30), "red")
    figures = measure_categories(describer, library, "source", subjects=6)
    assert figures.among_five.count == 6
    save_describer(describer, tmp_path / "again")
    assert load_describer(tmp_path / "again").describe(photo) == describer.describe(photo)
    patches = describer.patches([photo])
    captions = [
        describer.captions(patches, generator=torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1, 2, 3)
    ]
    assert captions[0] == captions[1]
    assert len(set(captions)) > 1

    (folder / "categories.json").write_text("[]")
    with pytest.raises(CheckpointError, match="list the names"):
        load_describer(folder)


def test_no_describer_and_a_wrong_recipe_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no describer"):
        load_describer(tmp_path)
    (tmp_path / "bad.toml").write_text('name = "x"\nseed = 1\nstart = "mini"\nextra = 1\n')
    with pytest.raises(ConfigError, match=r"extra.*representation"):
        load_describer_recipe(tmp_path / "bad.toml")


@pytest.mark.parametrize(("name", "colour"), [("popcorn", "red"), ("eggplant", "purple"), ("padlock", "yellow")])
def test_the_bundled_describer_names_colours_and_ranks_all_it_knows(blipdiff: Command, name: str, colour: str) -> None:
    photo = files("blipdiff") / "assets" / "subjects" / f"{name}.png"
    found = blipdiff("describe", photo, "--count", 100, "--json").answer
    assert f" {colour} " in found["caption"]
    chances = [chance for _, chance in found["categories"]]
    assert len(chances) == 100
    assert chances == sorted(chances, reverse=True)
    assert 0.5 < sum(chances) <= 1
