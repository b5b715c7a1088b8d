"""A subject learned step by step: its rows, then what the method learns with them; checked, sampled, and kept."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import Acting, SubjectWeights
from blipdiff.devices import has_fast_bfloat16
from blipdiff.errors import CheckpointError, ConfigError, NumericsError
from blipdiff.foreign import foreign
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import weights_fingerprint
from blipdiff.outputs import written_file
from blipdiff.sampling.cost import own_size
from blipdiff.training.loop import RunFolder, resume_step, train
from blipdiff.training.memory import checkpoint_blocks
from blipdiff.training.personal_checks import Check, HeldOut, best_of, is_enough
from blipdiff.training.personal_views import Views
from blipdiff.training.personalize import (
    Method,
    PersonalBatches,
    PersonalObjective,
    SubjectRows,
    Twin,
    least_rank,
    twin_of,
)
from blipdiff.training.sections import PersonalRecipe
from blipdiff.training.workers import Workers
from pipelines.personalize.defaults import COOLDOWN, ROW_STEPS, STEPS, batch_of, exponent_of, rate_of
from pipelines.personalize.request import PersonalizeRequest

CHECKED_EVERY = 15
_PATIENCE = 3  # checks without anything gained, after which it is enough
_SAVED_EVERY = 20.0  # seconds
_CHECKS, _BEST, _ASKED = "checks.json", "best.safetensors", "asked.json"


@dataclass(frozen=True, slots=True)
class LearningStep:
    """One step of it; `check` where one was made."""

    index: int
    count: int
    loss: float
    check: Check | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is learned from: views of the subject, some of them held out, and other subjects as the model draws them."""

    views: Views
    held_out: Views
    others: Views | None
    start: SubjectEmbedding  # as it is without learning


@dataclass(slots=True, eq=False)
class Learning:
    """A subject being learned in a folder, where it goes on after it was stopped or killed."""

    model: BlipDiffusion
    request: PersonalizeRequest
    material: Material
    folder: Path
    checkpointing: bool = False
    checks: list[Check] = field(default_factory=list)
    rows: SubjectRows = field(init=False)
    twin: Twin = field(init=False)

    def __post_init__(self) -> None:
        self.rows = SubjectRows(self.material.start.tokens).to(self.model.device)
        self.twin = twin_of(self.model, self.method, self.recipe, seed=self.request.seed)
        if self.checkpointing:
            checkpoint_blocks(self.twin.unet)

    @property
    def method(self) -> Method:
        """What learns beside the rows."""
        return cast("Method", self.request.method)

    @property
    def recipe(self) -> PersonalRecipe:
        """Of the method's own stage."""
        return _recipe(self.request, self.model, checkpointing=self.checkpointing)

    @property
    def count(self) -> int:
        """Steps at most."""
        return self.recipe.steps + self._row_steps

    @property
    def best(self) -> Check:
        """The best state so far, by its check."""
        return best_of(self.checks) if self.checks else Check(0, 1.0, 0.0)

    @property
    def _row_steps(self) -> int:
        return 0 if self.method == "embedding" else min(ROW_STEPS, self.recipe.steps)

    def steps(self) -> Iterator[LearningStep]:
        """Learns; leaving it stops, and `card` is then the best one so far.

        Raises: NumericsError where the loss is no number before anything was learned, OutputError for a full disk,
        CheckpointError where the folder holds the learning of something else.
        """
        self._check_asked()
        objective = PersonalObjective(self.model, self.rows, self.twin, self.recipe)
        held = HeldOut(objective, self.material.held_out, self.material.others, seed=self.request.seed)
        first = RunFolder(self.folder / "weights", _SAVED_EVERY)
        done = resume_step(first)
        self.checks = [Check(0, 1.0, 0.0), *(one for one in self._stored() if 0 < one.step <= done)]
        try:
            if not done and self._row_steps:
                yield from self._learn_rows()
            if not is_enough(self.checks, _PATIENCE) or self.request.steps:
                yield from self._learn(objective, held, first, done)
        except NumericsError as error:
            if best_of(self.checks).step == 0:
                raise
            note = f"{error} The state of step {best_of(self.checks).step} is kept."
            yield LearningStep(self.count - 1, self.count, float("nan"), note=note)

    def card(self) -> SubjectEmbedding:
        """The best one so far: the subject as it was where nothing was better."""
        best = self.best
        if best.step == 0:
            return self.material.start
        with foreign(self.folder / _BEST, "a learned subject"):
            tensors: dict[str, Tensor] = load_file(self.folder / _BEST)
        return self._as_card(tensors.pop("tokens"), tensors, best)

    def now(self) -> SubjectEmbedding:
        """What has been learned at this moment, to be looked at."""
        last = self.checks[-1]
        return self._as_card(self.rows.tokens.detach().cpu().clone(), self.twin.learned(), last)

    def _learn_rows(self) -> Iterator[LearningStep]:
        recipe = replace(self.recipe, steps=self._row_steps, learning_rate=rate_of(self.model, "embedding"))
        twin = twin_of(self.model, "embedding", recipe, seed=0)
        folder = RunFolder(self.folder / "rows", _SAVED_EVERY)
        first, seed = resume_step(folder), self.request.seed
        batches = PersonalBatches(self.material.views, self.material.others, replace(recipe, prior=0.0), seed=seed + 1)
        objective = PersonalObjective(self.model, self.rows, twin, recipe)
        stream = batches.stream(first, recipe.steps)
        for step in train(
            objective, stream, recipe, folder, seed=seed, first_step=first, log_every=1, workers=self._here
        ):
            yield LearningStep(step.index, self.count, step.loss)

    @property
    def _here(self) -> Workers:
        """This process alone, where the model is."""
        return Workers(device=self.model.device)

    def _learn(
        self, objective: PersonalObjective, held: HeldOut, folder: RunFolder, first: int
    ) -> Iterator[LearningStep]:
        recipe, seed = self.recipe, self.request.seed
        batches = PersonalBatches(self.material.views, self.material.others, recipe, seed=seed)
        stream = batches.stream(first, recipe.steps)
        for step in train(
            objective, stream, recipe, folder, seed=seed, first_step=first, log_every=1, workers=self._here
        ):
            number, check = step.index + 1, None
            if number % CHECKED_EVERY == 0 or number == recipe.steps:
                check = held.check(number)
                self._note(check)
            yield LearningStep(step.index + self._row_steps, self.count, step.loss, check)
            if check is not None and not self.request.steps and is_enough(self.checks, _PATIENCE):
                return

    def _note(self, check: Check) -> None:
        """Keeps what is best, then that it was."""
        self.checks.append(check)
        if best_of(self.checks) == check:
            tensors = self.twin.learned() | {"tokens": self.rows.tokens.detach().cpu().contiguous()}
            with written_file(self.folder / _BEST) as part:
                save_file(tensors, part)
        with written_file(self.folder / _CHECKS) as part:
            part.write_text(json.dumps([[one.step, one.held_out, one.drift] for one in self.checks]))

    def _stored(self) -> list[Check]:
        try:
            return [Check(int(step), float(held), float(drift)) for step, held, drift in _json(self.folder / _CHECKS)]
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{self.folder / _CHECKS} is damaged; remove {self.folder} to begin anew.") from error

    def _check_asked(self) -> None:
        """Notes what this folder learns. Raises: ConfigError where it has begun with something else."""
        told = {
            "request": {name: getattr(self.request, name) for name in self.request.__dataclass_fields__},
            "model": weights_fingerprint(self.model.unet),
            "views": float(self.material.views.latents.double().sum()),
            "tokens": float(self.material.start.tokens.double().sum()),
        }
        before = _json(self.folder / _ASKED)
        if not before:
            with written_file(self.folder / _ASKED) as part:
                part.write_text(json.dumps(told))
        elif before != json.loads(json.dumps(told)):
            raise ConfigError(
                f"{self.folder} has begun to learn something else: other photos, settings or another model. Give the "
                "same again, or another folder."
            )

    def _as_card(self, tokens: Tensor, tensors: Mapping[str, Tensor], check: Check) -> SubjectEmbedding:
        recipe = self.recipe
        told = {
            "method": self.method, "steps": str(check.step), "learning_rate": f"{recipe.learning_rate:g}",
            "rank": str(recipe.rank), "batch": str(recipe.batch), "seed": str(self.request.seed),
            "held_out_error": f"{check.held_out:.4f}", "drift": f"{check.drift:.4f}", "model": self.model.name,
            "picture": str(max(own_size(self.model))),
            "prediction": str(self.model.scheduler_config.get("prediction_type", "epsilon")),
        }  # fmt: skip
        start = self.material.start
        provenance = {**(start.provenance or {}), "tuned": self.method, "steps": told["steps"]}
        if not tensors:
            return replace(start, tokens=tokens, provenance=provenance)
        base = weights_fingerprint(self.model.unet)
        weights = SubjectWeights.of(tensors, base, least_rank=least_rank(recipe, self.method), told=told)
        return replace(start, tokens=tokens, provenance=provenance, weights=(Acting(weights),))


def _recipe(asked: PersonalizeRequest, model: BlipDiffusion, *, checkpointing: bool) -> PersonalRecipe:
    return PersonalRecipe(
        steps=asked.steps or STEPS,
        batch=batch_of(model, asked),
        learning_rate=asked.rate or rate_of(model, asked.method),
        warmup_steps=5,
        cooldown_fraction=COOLDOWN,
        weight_decay=0.0,
        ema_decay=0.0,
        bfloat16=model.unet.dtype != torch.float16 and (model.device.type != "cpu" or has_fast_bfloat16()),
        checkpointing=checkpointing,
        eight_bit=asked.eight_bit,
        rank=asked.rank,
        rank_falls=asked.rank_falls,
        prior=asked.prior,
        timestep_exponent=exponent_of(model),
    )


def _json(path: Path) -> Any:
    """What is in a file of JSON; nothing where there is none. Raises: CheckpointError for a damaged one."""
    if not path.is_file():
        return []
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged; remove {path.parent} to begin anew.") from error
