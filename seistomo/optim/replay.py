"""J v by replaying the operations that depend on v, on values kept from one forward pass.

A dual-number pass computes the outputs anew for every v. Here the pass is traced once, as a
list of tensor operations, and cut in two: what does not depend on v, and the rest. At given
weights the first half runs once and its results are kept; each product then pays for the
second half alone. The trace serves as long as the model and the shapes stay as they are; before
it is used at new weights it must give the outputs and one J v that are known without it. Tracing
runs the model once (its hooks, too), and a replay holds the activations a second time.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize, jvp

Tangent = Callable[[Sequence[Tensor]], Tensor]
# Times that a model is traced, for each shape of inputs and after each change; never again after
# a trace that came to nothing.
MOST_TRACES = 8


class _Traces(dict):
    """The traces of one model by what they hold for, each two graphs, and how many may come."""

    left = MOST_TRACES


_TRACES: weakref.WeakKeyDictionary[nn.Module, _Traces] = weakref.WeakKeyDictionary()


@contextmanager
def substituted(model: nn.Module, values: Mapping[Tensor, Tensor]) -> Iterator[None]:
    """Put tensors in the place of a model's parameters and buffers, wherever it holds them.

    Afterwards it has its own objects again, whatever happened. (``torch.func.functional_call``
    loses those of a layer that stands under two names.)
    """
    slots = values and [
        (held, name, tensor)
        for module in model.modules()
        for held in (module._parameters, module._buffers)
        for name, tensor in held.items()
        if tensor is not None and tensor in values
    ]
    try:
        for held, name, tensor in slots:
            held[name] = values[tensor]
        yield
    finally:
        for held, name, tensor in slots:
            held[name] = tensor


def find_replay(
    model: nn.Module,
    at: Mapping[nn.Parameter, Tensor],
    inputs: Tensor,
    outputs: Tensor,
    witness: tuple[Sequence[Tensor], Tensor],
) -> Tangent | None:
    """Return v ↦ J v at given values of some parameters, or None where the model cannot be traced.

    It gives the ``outputs`` known for the ``inputs``, and what is known of one vector: J v of the
    ``witness`` (v, J v). None, too, where these are not finite.
    """
    if not isinstance(inputs, Tensor):
        return None
    if not (outputs.isfinite().all() and witness[1].isfinite().all()):
        return None  # Nothing can be compared; that says nothing of the traces.
    traces = _TRACES.setdefault(model, _Traces())
    rest = [t for t in chain(model.parameters(), model.buffers()) if t not in at]
    values = [value.detach() for value in at.values()]
    given = [*values, *(tensor.detach() for tensor in rest), inputs]
    key = _key(model, at, inputs)
    old = traces.pop(key, None)
    for trace in [None] if old is None else [old, None]:
        if trace is None and not traces.left:
            return None
        traces.left -= trace is None
        try:
            trace = trace or _trace(model, [*at, *rest], values, given)
            tangent = _agreeing(trace, given, outputs, witness)
        except RuntimeError as error:
            if _is_of_the_machine(error):
                raise
            continue
        if tangent is not None:
            traces[key] = trace
            return tangent
    traces.left = 0
    return None


def _agreeing(
    trace: tuple[nn.Module, nn.Module],
    given: Sequence[Tensor],
    outputs: Tensor,
    witness: tuple[Sequence[Tensor], Tensor],
) -> Tangent | None:
    """Run what does not depend on v; return the rest if all that is known comes out."""
    first, second = trace
    with torch.no_grad():
        found, *kept = first(*given)

    @torch.no_grad()
    def tangent(vector: Sequence[Tensor]) -> Tensor:
        return second(*vector, *kept)

    if _same(found, outputs) and _same(tangent(witness[0]), witness[1]):
        return tangent
    return None


def _trace(
    model: nn.Module, places: Sequence[Tensor], values: Sequence[Tensor], given: Sequence[Tensor]
) -> tuple[nn.Module, nn.Module]:
    """Trace h and J v; ``given`` are the values of all the model's tensors, and its inputs.

    RuntimeError for networks that change tensors in place or decide by their values.
    """
    count = len(values)

    def both(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        vector, tensors, inputs = arguments[:count], arguments[count:-1], arguments[-1]

        def outputs(*own: Tensor) -> Tensor:
            now = dict(zip(places, (*own, *tensors[count:]), strict=True))
            with substituted(model, now):
                return model(inputs)

        return jvp(outputs, tensors[:count], vector)

    along = [value.clone() for value in values]  # Tracing tells tensors apart by identity.
    with torch.no_grad(), without_future_warnings():
        from torch.fx.experimental.proxy_tensor import make_fx  # Slow to load.

        traced = make_fx(functionalize(both))(*along, *given)
    if any(_changes_in_place(node) for node in traced.graph.nodes):
        raise RuntimeError("the network changes tensors in place")
    return _cut(traced, count)


def _key(model: nn.Module, at: Mapping[nn.Parameter, Tensor], inputs: Tensor) -> tuple:
    modes = tuple(module.training for module in model.modules())
    buffers = tuple((name, buffer.shape) for name, buffer in model.named_buffers())
    layout = (inputs.shape, inputs.stride(), inputs.dtype, inputs.device)
    own = tuple((id(parameter), value.dtype) for parameter, value in at.items())
    return own, modes, buffers, layout


def _same(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors agree to the square root of the unit of rounding."""
    allowed = torch.finfo(expected.dtype).eps ** 0.5 * expected.abs().max()
    return found.shape == expected.shape and bool((found - expected).abs().max() <= allowed)


def _is_of_the_machine(error: RuntimeError) -> bool:
    """Whether memory or the device gave out, which says nothing of the network."""
    kinds = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
    words = ("CUDA error", "can't allocate memory", "not enough memory")
    return isinstance(error, kinds) or any(word in str(error) for word in words)


@contextmanager
def without_future_warnings() -> Iterator[None]:
    """Silence what torch says of parts of its own that its forward mode loads at first use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _cut(traced: fx.GraphModule, count: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Cut a graph whose first ``count`` inputs are v, and whose outputs are (h, J v).

    The first half takes the other inputs and returns h and all that the second half needs; the
    second half takes v and that, and returns J v.
    """
    nodes = list(traced.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    outputs, tangent = nodes[-1].args[0]
    touched = set(placeholders[:count])
    for node in nodes:
        if touched.intersection(node.all_input_nodes):
            touched.add(node)
    touched.discard(nodes[-1])
    needed = {
        source: None
        for node in (n for n in nodes if n in touched)
        for source in node.all_input_nodes
        if source not in touched and source.op != "get_attr"
    }
    if tangent not in touched:
        needed[tangent] = None
    first, second = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[:-1]:
        if node not in touched:
            copies[node] = first.node_copy(node, copies.__getitem__)
    first.output([copies[outputs], *(copies[node] for node in needed)])
    own: dict[fx.Node, fx.Node] = {
        node: second.placeholder(node.name) for node in (*placeholders[:count], *needed)
    }
    for node in nodes[:-1]:
        constant = node.op == "get_attr"
        if node not in own and (node in touched or constant):
            own[node] = second.node_copy(node, own.__getitem__)
    second.output(own[tangent])
    second.eliminate_dead_code()
    first.eliminate_dead_code()
    return fx.GraphModule(traced, first), fx.GraphModule(traced, second)


def _changes_in_place(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
