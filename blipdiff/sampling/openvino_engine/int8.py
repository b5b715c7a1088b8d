"""A U-Net in 8 bits: which of its layers, in what ranges, and its graph with them.

Weights of 8 bits, one scale for each output channel, and activations of 8 bits between bounds that the model's own
runs were seen to keep (Jacob et al. 2018, arXiv:1712.05877; for diffusion models Li et al. 2023, arXiv:2302.04304).
Activations are narrow where that costs little: in 3 x 3 convolutions, in self-attention's projections, in the queries
of cross-attention, and in the feed-forward layers' first half. Measured on the bundled model, the words' keys and
values, the attention blocks' outward projections and the feed-forward layers' second half take it ill, and what lies at
the U-Net's ends and around its timestep stays as it is, weights too.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from blipdiff.sampling.openvino_engine.library import core, library
from blipdiff.sampling.openvino_engine.traced import residual_shapes

Inputs: TypeAlias = Sequence[Tensor]  # of one row: latents (1, c, h, w), timestep (), words (1, n, width)
Ranges: TypeAlias = dict[tuple[str, int], tuple[float, float]]  # by node and output: least and greatest value

_NARROW = re.compile(r"resnets.*conv[12]/|samplers|attn1\.to_|attn2\.to_q|ff\.net\.0")  # activations and weights
_WHOLE = re.compile(r"conv_in/|conv_out|time_emb")  # neither; of all others the weights
_STEPS, _MOST = 255, 127  # of an activation's range; the greatest weight
_LEAST = 1e-6  # of a range's upper bound


def ranges(net: Any, graph: Any, rows: Sequence[Inputs], precision: str, told: Callable[[int], None]) -> Ranges:
    """What goes into the layers that are to be narrow, over these rows of a U-Net's calls.

    graph: the network as OpenVINO has it, in float32; rows: all of one size; precision: in which it is computed; told:
    is called with the number of rows that are done, and may raise to stop
    """
    twin = graph.clone()
    sources = {_key(one): one for layer in _layers(twin) if _is_narrow(layer) for one in [layer.input_value(0)]}
    opset = library().opset15
    ends = []
    for one in sources.values():
        flat = opset.reshape(one, opset.constant(np.array([-1])), False)
        first = opset.constant(np.array([0]))
        ends += [opset.result(opset.reduce_min(flat, first)), opset.result(opset.reduce_max(flat, first))]
    seen = library().Model(ends, twin.get_parameters(), "ranges")
    height, width = rows[0][0].shape[-2:]
    nothing = [torch.zeros(shape).numpy() for shape in residual_shapes(net, height, width)]
    given: list[Any] = [*rows[0], *nothing]
    seen.reshape({place: list(one.shape) for place, one in enumerate(given)})
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    network = core().compile_model(seen, "CPU", hints)
    found = []
    for done, row in enumerate(rows, 1):
        ended = network([*(one.float().numpy() for one in row), *nothing])
        found.append([float(ended[place]) for place in range(len(ends))])
        told(done)
    values = np.array(found)
    bounds = zip(values[:, ::2].min(0), values[:, 1::2].max(0), strict=True)
    return {key: (float(low), float(high)) for key, (low, high) in zip(sources, bounds, strict=True)}


def narrow(graph: Any, found: Ranges) -> None:
    """Makes a graph's layers narrow, in place. found: as `ranges` has seen them on the same graph"""
    made: dict[tuple[str, int], Any] = {}
    for layer in list(_layers(graph)):
        if _is_narrow(layer):
            source = layer.input_value(0)
            key = _key(source)
            if key not in made:  # what goes into several layers is rounded once
                made[key] = _rounded(source, *found[key])
            layer.input(0).replace_source_output(made[key].output(0))
        if not _WHOLE.search(layer.get_friendly_name()):
            layer.input(1).replace_source_output(_weights(layer).output(0))
    graph.validate_nodes_and_infer_types()


def _rounded(source: Any, low: float, high: float) -> Any:
    """A value in 256 steps between its bounds, one of which is 0: convolutions are padded with it."""
    opset = library().opset15
    low, high = min(low, 0.0), max(high, _LEAST)
    step = (high - low) / _STEPS
    zero = round(-low / step)
    ends = [opset.constant(np.array(place * step, np.float32)) for place in (-zero, _STEPS - zero)]
    return opset.fake_quantize(source, *ends, *ends, _STEPS + 1)


def _weights(layer: Any) -> Any:
    """A layer's weights as whole numbers with a scale for each output channel."""
    opset = library().opset15
    stored: Any = _constant(layer)
    values = np.asarray(stored.get_data(dtype=np.float32))
    if layer.get_type_name() == "Convolution":
        inner: tuple[int, ...] = tuple(range(1, values.ndim))
    else:
        inner = (1,) if layer.get_attributes().get("transpose_b") else (0,)
    scale = np.abs(values).max(inner, keepdims=True) / _MOST
    scale[scale == 0] = 1
    whole = opset.convert(opset.constant(np.round(values / scale).astype(np.int8)), "f32")
    return opset.multiply(whole, opset.constant(scale.astype(np.float32)))


def _layers(graph: Any) -> Iterator[Any]:
    """Convolutions and linear layers: matrix products with something that was learned."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "MatMul") and _constant(node) is not None:
            yield node


def _constant(layer: Any) -> Any | None:
    """The weights as they are stored; None where the second factor is computed."""
    node = layer.input_value(1).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _is_narrow(layer: Any) -> bool:
    return _NARROW.search(layer.get_friendly_name()) is not None


def _key(source: Any) -> tuple[str, int]:
    return source.get_node().get_friendly_name(), source.get_index()
