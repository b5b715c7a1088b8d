"""Which patches of a photo a text was looked up in: cross-attention, and its part in a score (GradCAM).

Relevance as in Plug-and-Play VQA (Tiong et al. 2022, arXiv:2210.08773, sec. 3.2) and its authors' code: attention times
what the score gains by it, negative gains left out.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

# the rows that ask and the rows that are looked at, out of a layer's positional arguments and keywords
Rows: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Tensor, Tensor]]


@contextmanager
def watched(layers: Sequence[nn.Module], heads: int, rows: Rows) -> Iterator[list[Tensor]]:
    """Cross-attention layers that tell how they look, for the length of a block: (n, heads, rows, patches) each call.

    A layer's own maps `query`, `key` and `value` are computed with the attention in the open, so that a score made of
    the output has a gradient with respect to it, whatever kernel the layer has.
    """
    seen: list[Tensor] = []

    def look(layer: Any, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        asking, source = rows(given, named)
        query, key, value = (
            one.unflatten(-1, (heads, -1)).transpose(1, 2)
            for one in (layer.query(asking), layer.key(source), layer.value(source))
        )
        attention = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        if torch.is_grad_enabled() and not attention.requires_grad:
            attention.requires_grad_()  # where no weight asks for a gradient
        seen.append(attention)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

    hooks = [layer.register_forward_hook(look, with_kwargs=True) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def gains(score: Tensor, attention: Tensor) -> Tensor:
    """GradCAM of a score (): attention (n, heads, rows, patches) times its gradient, 0 where that is negative."""
    (gradient,) = torch.autograd.grad(score, attention, retain_graph=True)
    return attention.detach() * gradient.clamp(min=0)


def shares(relevance: Tensor, sides: tuple[int, int]) -> Tensor:
    """Relevance of patches, a class row before them or none, (patches,) -> shares (rows, columns) of sum 1.

    Where nothing is relevant all patches are alike.
    """
    rows, columns = sides
    found = relevance.detach().float().cpu()[-rows * columns :].clamp(min=0).view(rows, columns)
    total = float(found.sum())
    return found / total if total > 0 else torch.full_like(found, 1 / found.numel())
