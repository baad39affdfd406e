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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, functionalize, jvp

# Times that one model is traced: for each shape of inputs, and after each change of the model.
MOST_TRACES = 8


class Trace:
    """The operations behind outputs and J v, cut in two.

    Parameters
    ----------
    model
        The network.
    names
        Names of the parameters that v belongs to.
    values
        Their values.
    inputs
        Inputs [sample, ...]; the trace holds for their shape.

    Raises
    ------
    ValueError
        For networks that change tensors in place or decide by their values.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], values: Sequence[Tensor], inputs: Tensor
    ):
        self._names = tuple(names)
        count = len(values)
        rest = self._other_tensors(model)

        def both(*arguments: Tensor) -> tuple[Tensor, Tensor]:
            vector, tensors = arguments[:count], arguments[count:]
            others = dict(zip(rest, tensors[count:-1], strict=True))

            def outputs(*own: Tensor) -> Tensor:
                named = {**others, **dict(zip(self._names, own, strict=True))}
                return functional_call(model, named, (tensors[-1],))

            return jvp(outputs, tensors[:count], vector)

        given = [value.detach() for value in values]
        along = [value.clone() for value in given]  # Tracing tells tensors apart by identity.
        with torch.no_grad(), without_future_warnings():
            from torch.fx.experimental.proxy_tensor import make_fx  # Slow to load.

            traced = make_fx(functionalize(both))(*along, *given, *rest.values(), inputs)
        if any(_changes_in_place(node) for node in traced.graph.nodes):
            raise ValueError("the network changes tensors in place")
        self._first, self._second = _cut(traced, count)

    def run(self, model: nn.Module, values: Sequence[Tensor], inputs: Tensor) -> "Replay":
        """Run what does not depend on v, and keep its results."""
        others = self._other_tensors(model).values()
        with torch.no_grad():
            outputs, *kept = self._first(*(v.detach() for v in values), *others, inputs)
        return Replay(outputs, kept, self._second)

    def _other_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the model's parameters and buffers that v does not belong to, by name."""
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return {k: t.detach() for k, t in tensors.items() if k not in self._names}


class Replay:
    """J v at fixed weights: `outputs` [sample, ...], and `tangent(vector)` like them."""

    def __init__(self, outputs: Tensor, kept: Sequence[Tensor], second: nn.Module):
        self.outputs, self._kept, self._second = outputs, kept, second

    def tangent(self, vector: Sequence[Tensor]) -> Tensor:
        """Return J v for one tensor a parameter."""
        with torch.no_grad():
            return self._second(*vector, *self._kept)


class _Known:
    """The traces of one model, and how many were made."""

    def __init__(self):
        self.traces: dict[tuple, Trace] = {}
        self.made = 0


_KNOWN: weakref.WeakKeyDictionary[nn.Module, _Known] = weakref.WeakKeyDictionary()


def find_replay(
    model: nn.Module,
    names: Sequence[str],
    values: Sequence[Tensor],
    inputs: Tensor,
    outputs: Tensor,
    witness: tuple[Sequence[Tensor], Tensor],
) -> Replay | None:
    """Return a replay that gives what is known, or None where the network has none.

    None too where what is known is not finite.

    A trace that no longer does, since the model was changed, is made anew. Tracing takes some
    tenths of a second, so a model is traced `MOST_TRACES` times and no more.

    Parameters
    ----------
    model, names, values, inputs
        See `Trace`.
    outputs
        The model's outputs for them.
    witness
        A vector v, and J v.
    """
    if not (outputs.isfinite().all() and witness[1].isfinite().all()):
        # Nothing can be compared; that says nothing of the traces.
        return None
    known = _KNOWN.setdefault(model, _Known())
    key = _key(model, names, values, inputs)
    for trace in (known.traces.get(key), None):
        try:
            if trace is None:
                if known.made >= MOST_TRACES:
                    return None
                known.made += 1
                trace = known.traces[key] = Trace(model, names, values, inputs)
            found = trace.run(model, values, inputs)
            if _same(found.outputs, outputs) and _same(found.tangent(witness[0]), witness[1]):
                return found
        except Exception:  # Whatever a stranger's network does that cannot be traced.
            known.traces.pop(key, None)
    known.traces.pop(key, None)
    return None


def _key(model: nn.Module, names: Sequence[str], values: Sequence[Tensor], inputs: Tensor) -> tuple:
    modes = tuple(module.training for module in model.modules())
    buffers = tuple((name, buffer.shape) for name, buffer in model.named_buffers())
    layout = (inputs.shape, inputs.stride(), inputs.dtype, inputs.device, values[0].dtype)
    return tuple(names), modes, buffers, layout


def _same(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors agree to the square root of the unit of rounding."""
    allowed = torch.finfo(expected.dtype).eps ** 0.5 * expected.abs().max()
    return found.shape == expected.shape and bool((found - expected).abs().max() <= allowed)


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
