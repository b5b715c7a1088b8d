"""Masked words and momentum distillation: what is hidden, who teaches, and a run that goes on as it would have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blipdiff.checkpoints.describer import save_describer
from blipdiff.data import PairLibrary
from blipdiff.data.captions import contradiction
from blipdiff.data.varied import VariedPairs
from blipdiff.errors import ConfigError
from blipdiff.images import PhotoSettings
from blipdiff.models.describer import Describer, category_features
from blipdiff.models.representation import Representation
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, VisionSizes
from blipdiff.training.batches import DescribedBatches
from blipdiff.training.config import load_describer_recipe
from blipdiff.training.loop import RunFolder, train
from blipdiff.training.masking import Masking, told
from blipdiff.training.stage1 import RepresentationObjective
from blipdiff.training.vocabulary import train_category_tokenizer
from blipdiff.transformers_types import BertTokenizer
from pipelines.train.describer import export_describer, prepare_describer, train_describer

PHOTO = PhotoSettings(side=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def words(library: PairLibrary, tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    captions = [VariedPairs(library).draw_described(index, 0)[2] for index in range(64)]
    return train_category_tokenizer(captions, tmp_path_factory.mktemp("words"), 300)


def recipe(**changed: object):
    plain = load_describer_recipe("describe-further").representation
    small = {"steps": 4, "batch": 8, "warmup_steps": 1, "shared_width": 8, "bfloat16": False, "matching_share": 1.0}
    return replace(plain, **(small | {"masking": 0.15, "distillation": 0.4, "again": 0.0} | changed))


def network(words: BertTokenizer) -> Representation:
    torch.manual_seed(0)
    vision = VisionSizes(width=16, depth=1, heads=2, mlp_width=32, patch=8, picture=32)
    former = QFormerSizes(width=16, depth=2, heads=2, mlp_width=32, vocabulary=len(words), positions=24, queries=4)
    return Representation(SubjectEncoderSizes(vision, former), 8)


def batches(library: PairLibrary, words: BertTokenizer) -> DescribedBatches:
    return DescribedBatches(VariedPairs(library), words, 8, seed=3, named=0.5, tokens=16, contradicted=True)


def learned(objective: RepresentationObjective, batch: dict[str, torch.Tensor], steps: int) -> dict[str, torch.Tensor]:
    """The parts of the loss after so many steps on one batch."""
    optimizer = torch.optim.AdamW(objective.trainable(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss, last = objective.loss(batch, torch.Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
    return last


def test_words_are_hidden_as_bert_hides_them(words: BertTokenizer) -> None:
    masking = Masking.of(0.15, words)
    ids = torch.randint(10, len(words) - 1, (400, 20))
    ids[:, 0], ids[:, -1] = words.cls_token_id, words.sep_token_id
    mask = torch.ones_like(ids)
    mask[:, 15:] = 0
    shown, wanted = masking.hidden(ids, mask, torch.Generator().manual_seed(0))
    hidden = wanted != -100
    assert torch.equal(wanted[hidden], ids[hidden])
    assert torch.equal(shown[~hidden], ids[~hidden])
    assert not hidden[:, 0].any()
    assert not hidden[:, 15:].any()
    assert float(hidden[:, 1:15].float().mean()) == pytest.approx(0.15, abs=0.02)
    assert float((shown[hidden] == words.mask_token_id).float().mean()) == pytest.approx(0.8, abs=0.05)
    assert float((shown[hidden] == ids[hidden]).float().mean()) == pytest.approx(0.1, abs=0.04)


def test_a_teacher_has_its_share_of_the_answer() -> None:
    scores, taught = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    wanted = torch.tensor([[-100, 4, -100], [2, -100, -100]])
    plain = told(scores, wanted, None, 0.0)
    assert float(plain) == pytest.approx(
        float(torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=-100))
    )
    assert float(told(scores, wanted, taught, 0.0)) == pytest.approx(float(plain))
    alone = told(scores, wanted, taught, 1.0)
    likely, says = scores.log_softmax(-1), taught.softmax(-1)
    wholly = -(says * likely).sum(-1)[wanted != -100].mean()
    assert float(alone) == pytest.approx(float(wholly))
    assert float(told(scores, wanted, taught, 0.4)) == pytest.approx(0.6 * float(plain) + 0.4 * float(wholly))
    assert float(told(scores, torch.full((2, 3), -100), None, 0.0)) == 0


def test_hidden_words_are_told_from_the_picture_and_both_sides(words: BertTokenizer) -> None:
    net = network(words).eval()
    ids, mask = torch.randint(10, 40, (2, 6)), torch.ones(2, 6, dtype=torch.long)
    first, second = (net.visual_encoder(torch.randn(2, 3, 32, 32)) for _ in range(2))
    scores = net.mlm(first, ids, mask)
    assert scores.shape == (2, 6, len(words))
    assert not torch.allclose(net.mlm(second, ids, mask), scores)
    later = ids.clone()
    later[:, 5] = 41
    assert not torch.allclose(net.mlm(first, later, mask)[:, :5], scores[:, :5])


def test_all_objectives_learn_and_the_teacher_is_the_average(library: PairLibrary, words: BertTokenizer) -> None:
    net = network(words)
    objective = RepresentationObjective.of(recipe(), net, words, PHOTO)
    batch = batches(library, words)[0]
    averages = [p.detach().clone() for p in objective.trainable()]
    objective.teach(averages, 0)
    _, first = objective.loss(batch, torch.Generator().manual_seed(0))
    assert objective._taught == 0  # the ramp begins
    objective.teach([a + 0.1 for a in averages], 1)
    teacher = objective._teacher
    assert teacher is not None
    for taught, average in zip(teacher.parameters(), averages, strict=True):
        torch.testing.assert_close(taught, average + 0.1)
    assert objective._taught == 0.4
    loss, parts = objective.loss(batch, torch.Generator().manual_seed(0))
    assert {"itc", "itm", "itg", "mlm"} <= set(parts)
    assert parts["mlm"] != first["mlm"]
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    last = learned(objective, batch, 40)
    assert last["mlm"] < parts["mlm"]


def test_a_run_with_a_teacher_that_was_stopped_goes_on_as_it_would_have(
    library: PairLibrary, words: BertTokenizer, tmp_path: Path
) -> None:
    drawn = [batches(library, words)[step] for step in range(4)]

    def trained(folder: RunFolder, first: int, stop: int) -> list[torch.Tensor]:
        net, asked = network(words), recipe()
        objective = RepresentationObjective.of(asked, net, words, PHOTO)
        list(train(objective, drawn[first:stop], asked, folder, seed=1, first_step=first))
        return list(net.parameters())

    whole = trained(RunFolder(tmp_path / "whole", save_every_seconds=0), 0, 4)
    trained(RunFolder(tmp_path / "cut", save_every_seconds=0), 0, 2)
    cut = trained(RunFolder(tmp_path / "cut", save_every_seconds=0), 2, 4)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other)


def test_a_subject_is_learned_to_be_known_again(library: PairLibrary, words: BertTokenizer) -> None:
    net = network(words)
    asked = recipe(masking=0.0, distillation=0.0)
    objective = RepresentationObjective.of(asked, net, words, PHOTO)
    pairs = VariedPairs(library, scenes=0.2, varied=0.5)
    batch = DescribedBatches(pairs, words, 8, seed=3, tokens=16, again=0.5)[0]
    assert batch["again"].shape == (4, *batch["photo"].shape[1:])
    first = objective.loss(batch, torch.Generator().manual_seed(0))[1]
    last = learned(objective, batch, 60)
    assert last["subjects"] < first["subjects"]
    assert last["subject_accuracy"] == 1
    one, other = (net.picture_features(net.visual_encoder(torch.randn(2, 3, 32, 32))) for _ in range(2))
    assert net.same_subject(one, one).diagonal().tolist() == pytest.approx([1, 1], abs=1e-5)
    assert net.same_subject(one, other).shape == (2, 2)


def test_subjects_are_shown_twice_by_drawings_alone(words: BertTokenizer) -> None:
    class Photos:
        def draw_described(self, _index: int, _seed: int) -> tuple[np.ndarray, str, str]:
            return np.zeros((32, 32, 3), np.uint8), "dog", "a dog"

    assert "again" not in DescribedBatches(Photos(), words, 2, seed=0)[0]
    with pytest.raises(ConfigError, match="need a library of drawings"):
        DescribedBatches(Photos(), words, 2, seed=0, again=0.5)


@pytest.mark.parametrize("seed", range(12))
def test_a_contradiction_differs_in_one_thing(seed: int) -> None:
    others = [("dog", "a brown dog on a beach"), ("cup", "a cup in the snow"), ("cup", "a red cup")]
    said = contradiction("a red apple on a beach", "apple", others, np.random.default_rng(seed))
    colour, thing, place = "red" in said, "apple" in said, "on a beach" in said
    assert [colour, thing, place].count(False) == 1
    assert said.split()[0] == ("an" if said.split()[1][0] in "aeiou" else "a")


def test_a_caption_without_its_category_or_a_batch_of_one_kind_has_a_contradiction_too() -> None:
    rng = np.random.default_rng(0)
    assert contradiction("my pet", "dog", [("dog", "my pet"), ("cat", "a cat")], rng) == "a cat"
    assert contradiction("a dog", "dog", [("dog", "a dog")], rng) == "a dog"  # nothing else is known


def test_a_describer_is_trained_further_with_the_words_that_it_has(
    library: PairLibrary, library_folder: Path, words: BertTokenizer, tmp_path: Path
) -> None:
    net, names = network(words).eval(), ("dog", "cup")
    features = category_features(net, words, names)
    save_describer(Describer(net, words, PHOTO, names, features, "tiny"), tmp_path / "tiny")
    asked = replace(load_describer_recipe("describe-further"), representation=recipe(), start=str(tmp_path / "tiny"))
    parts = prepare_describer(asked, tmp_path / "run", data=library_folder)
    assert parts.words.get_vocab() == words.get_vocab()
    torch.testing.assert_close(dict(parts.network.state_dict()), dict(net.state_dict()))
    *_, last = train_describer(parts, compiled=False)
    assert "mlm" in last.parts
    again = export_describer(parts, tmp_path / "further", dtype=torch.float32)
    assert set(again.categories) == {library.records[place].category for place in library.members["train"]}
    assert not torch.equal(again.network.query_tokens, net.query_tokens)
