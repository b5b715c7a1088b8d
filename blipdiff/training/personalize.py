"""A subject learned by a few steps of fine-tuning (Li et al. 2023, arXiv:2305.14720, sec. 4.2): its rows first, then
with them a LoRA on the U-Net's attention (Hu et al. 2021, arXiv:2106.09685), or the whole U-Net as in the paper.

Everything is learned on a twin of the U-Net, which shares its weights and changes none of them. Beside the paper: the
truth is asked for where the subject is alone; around it, and in pictures of others of the category, the U-Net shall say
what it said before (distillation, Hinton et al. 2015, arXiv:1503.02531), so that grounds and others stay as they were;
noisy times may be drawn more often, as the small model was trained. A LoRA's rank may fall with the noise (T-LoRA,
Soboleva et al. 2025, arXiv:2507.05964): ranks begin orthogonal to each other, and the change begins at nothing, where
T-LoRA takes a matrix's least singular vectors and subtracts them again.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from blipdiff.conditioning.subject_weights import CHANGE, DOWN, PREFIX, UP, rank_at
from blipdiff.diffusers_types import UNet
from blipdiff.errors import MissingDependencyError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.training.noise import NoiseSchedule
from blipdiff.training.personal_views import Views
from blipdiff.training.sections import PersonalRecipe

Method = Literal["embedding", "lora", "full"]
Net = TypeVar("Net", bound=nn.Module)

_TARGETS = (".to_q", ".to_k", ".to_v", ".to_out.0")  # of attention alone: converters lose others
_ADAPTER = "default"
_LEAST_RANK = 2  # at pure noise, of a LoRA whose rank falls with it


class SubjectRows(nn.Module):
    """The subject's rows among the words: (16, width)."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = nn.Parameter(tokens.detach().clone().float())


class PersonalBatches:
    """Batch number `step`: rows of the subject's views, then rows of other subjects' pictures; from (seed, step) alone.

    "latents" (n, c, h, w), "inside" (n, h, w), "ids" (n, words), "tokens" (k, 16, width) of the last k rows
    """

    def __init__(self, views: Views, others: Views | None, recipe: PersonalRecipe, *, seed: int) -> None:
        self.views, self.others, self.seed = views, others, seed
        prior = 0 if others is None else round(recipe.batch * recipe.prior)
        self.counts = recipe.batch - prior, prior

    def stream(self, first: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Batches `first` to `stop` - 1."""
        return (self[step] for step in range(first, stop))

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, 7, step))
        own = torch.from_numpy(rng.permutation(len(self.views))[: self.counts[0]])
        batch = {name: getattr(self.views, name)[own] for name in ("latents", "inside", "ids")}
        if self.others is None or self.others.tokens is None or not self.counts[1]:
            return batch
        prior = torch.from_numpy(rng.permutation(len(self.others))[: self.counts[1]])
        joined = {name: torch.cat([batch[name], getattr(self.others, name)[prior]]) for name in batch}
        return joined | {"tokens": self.others.tokens[prior]}


class PersonalObjective:
    """Noise prediction of a subject's views by a twin of the model's U-Net, which starts from these rows."""

    def __init__(self, model: BlipDiffusion, rows: SubjectRows, twin: "Twin", recipe: PersonalRecipe) -> None:
        self.rows, self.twin, self.recipe = rows, twin, recipe
        self.base, self.start = model.unet, rows.tokens.detach().clone()
        self.text_encoder, self.insert_at = copied(model.text_encoder, shares=True), model.insert_at
        self.schedule = NoiseSchedule(model.scheduler_config)
        self.nothing: Tensor | None = None
        if recipe.silent:
            self.nothing = model.encode_prompts([""]).embeddings.detach()  # (1, words, width)

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return {"rows": self.rows, "unet": self.twin.unet}

    def trainable(self) -> Iterable[nn.Parameter]:
        """What is learned, in the order of the modules."""
        return [one for module in self.modules().values() for one in module.parameters() if one.requires_grad]

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `PersonalBatches` gives it -> the loss and its parts."""
        latents, inside = batch["latents"], batch["inside"][:, None]
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        timesteps = self.schedule.drawn(len(latents), generator, self.recipe.timestep_exponent).to(latents.device)
        noised, wanted = self.schedule.noised(latents, noise, timesteps)
        own = len(latents) - len(batch.get("tokens", ()))
        said, before, silent = self._both(batch, noised, timesteps, own)
        moved = (said - before).square()
        shown = _mean_by_row((said[: len(latents)] - wanted).square(), inside)[:own].mean()
        around = _mean_by_row(moved[:own], 1 - inside[:own]).mean()
        if silent:
            around = around + _mean_by_row(moved[len(latents) :], 1 - inside[:silent]).mean()
        loss = shown + self.recipe.ground * around
        parts = {"subject": shown.detach(), "ground": around.detach()}
        if own < len(latents):
            others = _mean_by_row(moved[own : len(latents)], torch.ones_like(inside[own:])).mean()
            loss, parts["others"] = loss + self.recipe.prior_weight * others, others.detach()
        return loss, parts

    def _both(
        self, batch: Mapping[str, Tensor], noised: Tensor, timesteps: Tensor, own: int
    ) -> tuple[Tensor, Tensor, int]:
        """What the twin says and what was said before, of all rows and then of the first few without words; how many
        those are. All in one call: blocks may be computed again, under the same ranks.
        """
        now, start = self._context(self.rows.tokens, batch), self._context(self.start, batch)
        silent = 0 if self.nothing is None else self.recipe.silent_rows(own)
        if self.nothing is not None:
            none = self.nothing.to(now).expand(silent, -1, -1)
            now, start = torch.cat([now, none]), torch.cat([start, none])
            noised, timesteps = torch.cat([noised, noised[:silent]]), torch.cat([timesteps, timesteps[:silent]])
        with torch.no_grad():
            before = _said(self.base, noised, timesteps, start)
        return self._twin_said(noised, timesteps, now), before, silent

    def errors(self, batch: Mapping[str, Tensor], noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The squared error of each row: of the whole picture, and within the subject alone: (n,), (n,)."""
        latents, inside = batch["latents"], batch["inside"][:, None]
        noised, wanted = self.schedule.noised(latents, noise, timesteps)
        squared = (self.predicted(batch, noised, timesteps) - wanted).square()
        return _mean_by_row(squared, torch.ones_like(inside)), _mean_by_row(squared, inside)

    def predicted(self, batch: Mapping[str, Tensor], noised: Tensor, timesteps: Tensor) -> Tensor:
        """What the twin says: (n, c, h, w)."""
        return self._twin_said(noised, timesteps, self._context(self.rows.tokens, batch))

    def _twin_said(self, noised: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        if self.twin.ranks is not None:
            self.twin.ranks.timesteps = timesteps
        return _said(self.twin.unet, noised, timesteps, context)

    def _context(self, rows: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The words with these rows of the subject among them, others' with theirs: (n, words, width)."""
        tokens = rows.expand(len(batch["ids"]) - len(batch.get("tokens", ())), -1, -1)
        if "tokens" in batch:
            tokens = torch.cat([tokens, batch["tokens"].to(tokens)])
        context: Tensor = self.text_encoder(batch["ids"], tokens.to(self.text_encoder.dtype), self.insert_at)
        return context


class FallingRanks:
    """Lets a LoRA's later ranks act only where there is little noise: a hook on its first halves."""

    def __init__(self, unet: nn.Module, rank: int) -> None:
        self.rank, self.timesteps = rank, torch.zeros(1)
        for name, module in unet.named_modules():
            if name.endswith(f".lora_A.{_ADAPTER}"):
                module.register_forward_hook(self._masked)

    def _masked(self, _layer: nn.Module, _given: Any, said: Tensor) -> Tensor:
        kept = [rank_at(float(one), self.rank, _LEAST_RANK) for one in self.timesteps]
        mask = torch.arange(self.rank) < torch.tensor(kept)[:, None]  # (rows, rank)
        return said * mask[:, None].to(said)


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """A U-Net that shares another one's weights, with what is learned on it."""

    unet: UNet
    method: Method
    base: Mapping[str, Tensor]  # of the whole U-Net where all of it is learned: what it began as
    ranks: FallingRanks | None = None

    def learned(self) -> dict[str, Tensor]:
        """What was learned, as cards keep it, in half precision."""
        found: dict[str, Tensor] = {}
        for name, parameter in self.unet.named_parameters():
            if not parameter.requires_grad:
                continue
            if self.method == "full":
                change = (parameter.detach() - self.base[name]).half().cpu().contiguous()
                if bool(change.any()):
                    found[f"{PREFIX}{name}{CHANGE}"] = change
                continue
            for mark, end in ((f".lora_A.{_ADAPTER}.weight", DOWN), (f".lora_B.{_ADAPTER}.weight", UP)):
                if name.endswith(mark):
                    found[f"{PREFIX}{name.removesuffix(mark)}{end}"] = parameter.detach().half().cpu().contiguous()
        return found


def twin_of(model: BlipDiffusion, method: Method, recipe: PersonalRecipe, *, seed: int) -> Twin:
    """A twin of the model's U-Net with what is to be learned on it; the model's own is not touched.

    Raises: MissingDependencyError for a LoRA where peft is not installed.
    """
    if method == "full":
        unet = copied(model.unet, shares=False).float().train().requires_grad_(True)
        return Twin(unet, method, {name: one.detach().clone() for name, one in unet.named_parameters()})
    unet = copied(model.unet, shares=True)
    if method == "embedding":
        return Twin(unet, method, {})
    _add_lora(unet, recipe.rank, seed=seed, is_orthogonal=recipe.rank_falls)
    return Twin(unet, method, {}, FallingRanks(unet, recipe.rank) if recipe.rank_falls else None)


def copied(network: Net, *, shares: bool) -> Net:
    """Another network of the same weights: the same tensors where it `shares` them, which then do not learn."""
    memo: dict[int, Any] = {}
    if shares:
        memo = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in network.parameters()}
    return copy.deepcopy(network, memo)


def _add_lora(unet: UNet, rank: int, *, seed: int, is_orthogonal: bool) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependencyError("A LoRA is learned with peft: pip install 'blipdiff[lora]'.") from error
    targets = [name for name, one in unet.named_modules() if isinstance(one, nn.Linear) and name.endswith(_TARGETS)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), unet)
        for name, one in unet.named_parameters():
            if is_orthogonal and name.endswith(f".lora_A.{_ADAPTER}.weight"):
                own = torch.empty(one.shape)
                nn.init.orthogonal_(own)
                one.data.copy_(own)


def least_rank(recipe: PersonalRecipe, method: Method) -> int | None:
    """The ranks that act at pure noise, where they fall with it."""
    return _LEAST_RANK if method == "lora" and recipe.rank_falls else None


def _said(unet: UNet, noised: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
    said: Tensor = unet(noised.to(unet.dtype), timesteps, context.to(unet.dtype), return_dict=False)[0]
    return said.float()


def _mean_by_row(values: Tensor, weight: Tensor) -> Tensor:
    """values (n, c, h, w) weighed by weight (n, 1, h, w) -> (n,)"""
    total = (weight.sum((1, 2, 3)) * values.shape[1]).clamp(min=1e-6)
    return (values * weight).sum((1, 2, 3)) / total
