"""J v by replaying the operations that depend on v, on values kept from one forward pass.

A dual-number pass computes the outputs anew for every v. Here the pass is traced once, as a
list of tensor operations, and cut in two: what does not depend on v, and the rest. At given
weights the first half runs once and its results are kept; each product then pays for the
second half alone, and gets the bits that a dual-number pass gives. The trace serves from then on,
at other weights and inputs, as long as the model and the shapes stay as they are: at each it must
give the outputs that are known without it, and `agree` says whether J v is the transpose of
autograd's Jᵀ. Tracing runs the model once (its hooks, too), and a replay holds the activations a
second time.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize, jvp

from seistomo.optim.checks import close, modes
from seistomo.optim.objective import flatten

Tangent = Callable[[Sequence[Tensor]], Tensor]
# The first so many products of a model are dual-number passes: a few do not pay for a trace.
PRODUCTS_BEFORE = 20
# Times that a model is traced, for each shape of inputs and after each change; never again after
# a trace that came to nothing.
MOST_TRACES = 8


class _Traces(dict):
    """The traces of one model by what they hold for, each two graphs, and how many may come."""

    products = 0
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
    network: Any, inputs: Tensor, outputs: Tensor, vector: Sequence[Tensor]
) -> Tangent | None:
    """Return v ↦ J v of a `NetworkAt` for these inputs, or None where there is no trace.

    It gives the ``outputs``, and when it is new J of a ``vector`` as a dual-number pass does.
    None, too, where these are not finite: then nothing can be compared.
    """
    model, at = network.model, network.at
    traces = _TRACES.setdefault(model, _Traces())
    traces.products += 1
    if traces.products <= PRODUCTS_BEFORE or not isinstance(inputs, Tensor):
        return None
    rest = [t for t in chain(model.parameters(), model.buffers()) if t not in at]
    values = [value.detach() for value in at.values()]
    given = [*values, *(tensor.detach() for tensor in rest), inputs]
    layouts = tuple((t.shape, t.stride(), t.dtype, t.device) for t in given)
    key = tuple(map(id, at)), modes(model), layouts
    if not (key in traces or traces.left) or not outputs.isfinite().all():
        return None
    old, expected = traces.pop(key, None), None
    for trace in [None] if old is None else [old, None]:
        if trace is None:
            if not traces.left:
                return None
            with torch.no_grad():
                expected = network.tangent(inputs, vector)[1]
            if not expected.isfinite().all():
                return None
            traces.left -= 1
        try:
            trace = trace or _trace(model, [*at, *rest], values, given)
            found, tangent = _run(trace, given)
            agreed = found.shape == outputs.shape and close(outputs, found)
            if agreed and expected is not None:
                # A run that is resumed has its first products from dual numbers again.
                same = torch.equal if expected.device.type == "cpu" else close
                agreed = same(expected, tangent(vector))
        except RuntimeError as error:
            if _is_of_the_machine(error):
                raise
            continue
        if agreed:
            traces[key] = trace
            return tangent
    traces.left = 0
    return None


def forget(model: nn.Module) -> None:
    """Leave out the traces of a model, whose replays turned out wrong."""
    _TRACES[model].clear()


def agree(
    tangent: Tensor, cotangent: Tensor, vector: Sequence[Tensor], product: Sequence[Tensor]
) -> bool:
    """Whether uᵀ J v = vᵀ Jᵀu, with J v from a replay and Jᵀu from autograd."""
    forth, back = (tangent * cotangent).sum(), flatten(vector).dot(flatten(product))
    allowed = torch.finfo(forth.dtype).eps ** 0.5 * tangent.norm() * cotangent.norm()
    return bool(((forth - back).abs() <= allowed) | ~torch.isfinite(forth + back))


@torch.no_grad()
def _run(trace: tuple[nn.Module, nn.Module], given: Sequence[Tensor]) -> tuple[Tensor, Tangent]:
    """Run what does not depend on v; return the outputs, and the rest as a function of v."""
    first, second = trace
    outputs, *kept = first(*given)
    return outputs, torch.no_grad()(lambda vector: second(*vector, *kept))


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
    schemas = (getattr(node.target, "_schema", None) for node in traced.graph.nodes)
    if any(schema is not None and schema.is_mutable for schema in schemas):
        raise RuntimeError("the network changes tensors in place")
    _simplify(traced.graph)
    return _cut(traced, count)


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


def _simplify(graph: fx.Graph) -> None:
    """Leave out copies that are views, and sums with a zero that forward mode has made of nothing.

    The bits stay as they are.
    """
    aten, zeros = torch.ops.aten, set()
    for node in graph.nodes:
        first, second = (*node.args, None, None)[:2]
        instead = None
        if node.target in (aten.alias.default, aten.detach.default):
            instead = first
        elif node.target is aten.zeros.default:
            zeros.add(node)
        elif node.target in (aten.expand.default, aten.mm.default, aten.bmm.default):
            if first in zeros or second in zeros:
                zeros.add(node)
        elif node.target is aten.add.Tensor and not node.kwargs and zeros & {first, second}:
            other = second if first in zeros else first
            instead = other if _kind(other) == _kind(node) else None
        if instead is not None:
            node.replace_all_uses_with(instead)
    graph.eliminate_dead_code()


def _kind(node: Any) -> tuple[torch.Size, torch.dtype] | None:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return (value.shape, value.dtype) if isinstance(value, Tensor) else None


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
