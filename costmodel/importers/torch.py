"""torch module x example inputs -> Graph: traced by torch.export, without weights and without arithmetic.

Each call that the module makes is read by its rule in :data:`costmodel.importers.calls.CALLS`.
"""

import contextlib
import inspect
import io
import logging
import operator
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from math import prod
from types import MappingProxyType
from typing import Any, Final

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError, UnsupportedError, WiringError, suggestion
from costmodel.graph import BITS, Graph, Input, Shape, Tensor, Type, dims
from costmodel.importers.calls import (
    ALIASES,
    CALLS,
    CHOOSING,
    COMPARING,
    CONSTANT,
    KEEPS_BUFFERS,
    OF_MAPS,
    OF_VECTORS,
    PROMOTING,
    UNCHANGED,
    ZEROS,
    Call,
    TorchNode,
)
from costmodel.importers.opaque import UNKNOWN, Opaque, left_out
from costmodel.importers.program import foreign, reason
from costmodel.ops import Cast, Embedding, Reshape
from costmodel.ops.onnx import Constant, Operand, own, unique

try:
    import torch
    from torch.utils import _pytree as trees
except ImportError:
    raise CostModelError("reading torch modules needs the extra 'torch': pip install 'costmodel[torch]'") from None

LIMIT: Final = 4096
"""Constants of more elements have no values."""

MALFORMED: Final = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What arguments end in that a rule does not know."""

LISTED: Final = 4
"""How many names a note lists at most."""


def from_torch(module: Any, *inputs: Any, unknown: str = "error", **keywords: Any) -> Graph:
    """Read a module as it runs on example inputs, which may be on any device, also "meta".

    Nothing is computed and no weight is read, so a module made under ``torch.device("meta")`` does. The module's paths
    become blocks: layers are named ``layer1.0.conv1``. It is read in the mode that it is in, ``eval()`` or ``train()``.
    With ``unknown="skip"`` calls that are not known are left out, and the graph's notes say which.
    """
    return read(type(module).__name__, module, inputs, keywords, unknown=unknown)


def read(
    name: str,
    module: Any,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    *,
    unknown: str,
    batch: int | None = None,
) -> Graph:
    """The same, under a name of one's own; a ``batch`` replaces how many images each input has."""
    if not isinstance(module, torch.nn.Module):
        given, *_ = repr(module).splitlines() or [""]
        raise CostModelError(f"{name}: expected a torch module, such as torch.nn.Linear(3, 4), not {given[:80]}")
    if unknown not in UNKNOWN:
        raise CostModelError(f"{name}: unknown must be one of {', '.join(UNKNOWN)}, not {unknown!r}")
    reader = Reader(name, module, _exported(name, module, inputs, keywords), skip=unknown == "skip")
    reader.read()
    graph = reader.graph()
    if batch is None or batch == graph.images:
        return graph
    leaves, form = trees.tree_flatten((tuple(inputs), dict(keywords)))
    axes = graph.batch_axes
    for place, (leaf, given) in enumerate(zip(leaves, reader.exported.graph_signature.user_inputs, strict=True)):
        value = reader.values.get(reader.placeholders.get(given))
        if value in axes:
            sizes = [batch if axis == axes[value] else size for axis, size in enumerate(leaf.shape)]
            leaves[place] = torch.empty(sizes, dtype=leaf.dtype, device="meta")
    again = trees.tree_unflatten(leaves, form)
    return read(name, module, *again, unknown=unknown)


def examples(
    name: str, module: Any, inputs: Any, shapes: Mapping[str, Shape]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module is run on, in order and by name: tensors of the given shapes, or else the ``inputs`` it came with.

    One input, several in a tuple or a list, or by name in a dictionary.
    """
    if not isinstance(module, torch.nn.Module):
        return (), {}
    kinds = [weight.dtype for weight in module.parameters() if weight.is_floating_point()]
    made = {key: torch.empty(shape, dtype=kinds[0] if kinds else None, device="meta") for key, shape in shapes.items()}
    if inputs is None and not made:
        raise CostModelError(f"{name}: it returns a module alone; give the shape of its input, as --shape 1x3x224x224")
    known = inspect.signature(module.forward).parameters
    for key in made:
        if key not in ("", *known) and not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            raise CostModelError(f"{name}: forward() has no input {key!r}; {suggestion(key, known)}")
    if made or isinstance(inputs, Mapping):
        ordered, named = [made.pop("")] if "" in made else [], made or dict(inputs or {})
    else:
        ordered, named = list(inputs) if isinstance(inputs, tuple | list) else [inputs], {}
    return tuple(ordered), {key: named[key] for key in known if key in named} | named


def _exported(name: str, module: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Trace a module, on inputs that are where its weights are."""
    given = (tuple(inputs), dict(keywords))
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    device = devices.pop() if len(devices) == 1 else torch.get_default_device()
    moved = lambda x: x if x.device == device else torch.empty_like(x, device=device)  # noqa: E731
    given = trees.tree_map_only(torch.Tensor, moved, given)
    told, fast = logging.root.manager.disable, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one function that hides a whole encoder layer
    logging.disable(logging.CRITICAL)  # torch logs and prints at length what the answer says in a line
    printed = io.StringIO()
    redirected = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirected[0], redirected[1]:
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, *given, strict=False)
    except (Exception, SystemExit) as error:  # whatever the module's own code raises
        raise CostModelError(f"{name}: torch.export cannot trace it: {reason(error)}") from None
    finally:
        logging.disable(told)
        torch.backends.mha.set_fastpath_enabled(fast)
    sys.stderr.write(printed.getvalue())
    return exported


class Reader:
    """A traced module on its way to a graph: what each of its values stands for so far, and what was left out."""

    def __init__(self, name: str, module: Any, exported: Any, *, skip: bool) -> None:
        self.name: Final = name
        self.module: Final = module
        self.exported: Final = exported
        self.skip: Final = skip
        self.values: Final[dict[Any, Any]] = {}
        """What the nodes of the trace make: operands, several of them, or plain values."""
        self.outputs: Final[list[Tensor]] = []
        self.taken: Final[dict[str, int]] = {}
        self.skipped: Final[Counter[str]] = Counter()
        calls = [node for node in exported.graph.nodes if node.op == "call_function"]
        self.places: Final = Places(calls)
        self.memory: Final = Memory(calls)
        self.dtype: Final = _network_type(module)
        self.placeholders: Final = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
        signature = exported.graph_signature
        self.learned: Final = {*signature.inputs_to_parameters.values()}
        self.common: Final = frozenset(
            [
                target
                for name, target in signature.inputs_to_parameters.items()
                if len(self.placeholders[name].users) > 1
            ]
        )
        """The parameters that several calls read."""
        self.buffers: Final[Mapping[str, str]] = signature.inputs_to_buffers
        self.merged: Final[dict[str, int]] = {}
        """The parameters that become part of others, such as the lengths of a weight norm, and their elements."""
        self.steps_first: Final[set[Tensor]] = set()
        """What attention takes that goes along steps first."""
        self.single: Final[dict[str, int]] = {}
        """The parameters that are a single number, which an operator holds as a buffer."""
        self.maps: Final[dict[Any, Tensor]] = {}
        """Constants as maps: what is not learned, such as masks and positions, as inputs of the graph."""

    def read(self) -> None:
        """Read the calls in the order in which they ran."""
        weights = self._weights()
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = weights[node.name] if node.name in weights else self._input(node)
            elif node.op == "call_function":
                self.values[node] = self._call(node)
                self.steps_first.update(self._steps_first(node))
            elif node.op == "output":
                made = [self.values[value] for value in node.args[0] if isinstance(value, torch.fx.Node)]
                self.outputs.extend([value for value in made if isinstance(value, Tensor)])

    def graph(self) -> Graph:
        """The network that makes the module's outputs."""
        if not self.outputs:
            raise CostModelError(f"{self.name}: none of its outputs follows from its inputs")
        notes = [*left_out(self.skipped), *self._unused()]
        outputs = list(dict.fromkeys(self.outputs))
        return Graph(outputs, self.name, dtype=self.dtype, notes=notes, steps_first=self.steps_first)

    def _steps_first(self, node: Any) -> list[Tensor]:
        """What a call takes from outside of a module of attention whose first axis is that of steps."""
        path = self.places.within(node)
        module = self.module.get_submodule(path) if path else self.module
        if not isinstance(module, torch.nn.MultiheadAttention) or module.batch_first:
            return []
        taken = [self.values[source] for source in node.all_input_nodes if self.places.within(source) != path]
        return [value for value in taken if isinstance(value, Tensor) and len(value.shape) == 3]

    def _weights(self) -> dict[str, Constant]:
        """Parameters, buffers and constants by the names of their placeholders."""
        signature = self.exported.graph_signature
        held = {**self.exported.state_dict, **self.exported.constants}
        named = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        return {
            name: Constant(
                tuple(held[target].shape),
                partial(_values, held[target]),
                target,
                self._type(held[target]),
                target in self.learned,
            )
            for name, target in named.items()
        }

    def _unused(self) -> list[str]:
        """A note on parameters that nothing reads; one that is shared has a placeholder for each of its names."""
        named = self.exported.graph_signature.inputs_to_parameters
        used = {
            id(self.exported.state_dict[named[node.name]])
            for node in self.exported.graph.nodes
            if node.name in named and node.users
        }
        unused = {name: weight.numel() for name, weight in self.module.named_parameters() if id(weight) not in used}
        return [
            *_uncounted("not used", unused),
            *_uncounted("merged into others before any image", self.merged),
            *_uncounted("held as a buffer of one value", self.single),
        ]

    def _input(self, node: Any) -> Any:
        """A tensor that is given from outside; None for anything else, which the trace has in its place."""
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return None
        return Input(_sizes(value), self._type(value))(name=unique(node.name, "", self.taken))

    def _type(self, tensor: Any) -> Type:
        """A tensor's element type; None for the network's."""
        return own(type_of(tensor), self.dtype)

    def _place(self, node: Any, constants: Sequence[Constant] = ()) -> TorchNode:
        """A node of ONNX in the place of a call, to be made one of these constants and whatever flows."""
        return TorchNode.at(self.places.of(node), self.taken, self.dtype, tuple(constants), self.common)

    def _call(self, node: Any) -> Any:
        try:
            return self._made(node)
        except WiringError as error:
            raise WiringError(f"{self._where(node)}: {error}") from None
        except (UnsupportedError, *MALFORMED) as error:
            if not self.skip:
                said = (
                    str(error) if isinstance(error, UnsupportedError) else f"its arguments are not supported: {error!r}"
                )
                raise CostModelError(f"{self._where(node)}: {said}; unknown='skip' leaves it out") from None
            return self._left_out(node)

    def _where(self, node: Any) -> str:
        """The place of a call: module and path, function, and the line of the user's code."""
        lines = re.findall(r'File "(.+?)", line (\d+)', node.meta.get("stack_trace") or "")
        own = [f"; {file}, line {line}" for file, line in lines if not foreign(file)]
        return f"{self.name}: {self.places.of(node)} ({node.target}{own[-1] if own else ''})"

    def _made(self, node: Any) -> Any:
        """What a call makes of what it takes."""
        taken = self._taken(node)
        if node.target is operator.getitem:
            several, index = taken[0]
            return several[index]
        kind, shapes = kind_of(node), tuple([_sizes(value) for value in _tensors(node)])
        if not shapes:  # an assertion, or a number
            return None
        fixed = [source for source in node.all_input_nodes if self._outside(source)]
        flows = bool(_flowing(taken)) and kind not in CONSTANT
        maps = {} if flows else self._rows(node, kind)
        flows = flows or bool(maps)
        layer = kind in CALLS and kind not in OF_VECTORS | KEEPS_BUFFERS and CALLS[kind] not in UNCHANGED
        if not flows and not (fixed and layer and self._learned(taken)):
            return self._constants(node, taken, shapes)
        if late := self.memory.read_later(node):
            raise UnsupportedError(f"it writes into a part of a map that {late} reads later")
        if kind not in CALLS:
            raise UnsupportedError(f"{kind!r} is not known; {suggestion(kind, CALLS)}")
        if kind not in KEEPS_BUFFERS:
            maps |= {source: self._map(source) for source in fixed}
        if maps:
            taken = self._taken(node, maps)
        schema = _schema(node).arguments
        given = {each.name: each.default_value for each in schema if each.has_default_value()}
        given |= dict(zip([each.name for each in schema], taken[0], strict=False)) | dict(taken[1])
        plain = tuple([each.name for each in schema if not each.has_default_value()])
        constants = [value for value in given.values() if isinstance(value, Constant)]
        if kind in PROMOTING:
            given = {name: self._promoted(node, name, value) for name, value in given.items()}
        used = _used(node, len(shapes))
        made = CALLS[kind](Call(given, plain, shapes, self._place(node, constants), used))
        self._note_single(made, constants)
        return self._checked(node, made)

    def _note_single(self, made: Any, constants: Sequence[Constant]) -> None:
        """Remember parameters that are a single number, if the layer that was made of them holds only buffers."""
        held = made.node.weights if isinstance(made, Tensor) else ()
        if held and all(weight.kind == "buffer" for weight in held):
            self.single.update({each.name: 1 for each in constants if each.learned and each.elements == 1})

    def _promoted(self, node: Any, name: str, value: Any) -> Any:
        """An operand in the element type that all operands of the function come to, but for what only chooses."""
        if isinstance(value, list):
            return [self._promoted(node, name, each) for each in value]
        if not isinstance(value, Tensor) or name in CHOOSING:
            return value
        common = _tensors(node)[0].dtype
        if kind_of(node) in COMPARING:
            common = reduce(torch.promote_types, [each.meta["val"].dtype for each in node.all_input_nodes])
        wanted = own(str(common).removeprefix("torch."), self.dtype)
        return value if value.dtype == wanted else self._place(node).then(Cast(wanted), value, part="cast")

    def _checked(self, node: Any, made: Any) -> Any:
        """What a call makes, which must have the shape that torch makes; and its element type."""
        several = made if isinstance(made, tuple) else (made,)
        checked: list[Operand] = []
        for value, theirs in zip(several, _tensors(node), strict=False):
            if value is None:  # nothing reads it
                checked.append(None)
                continue
            if value.shape != theirs.shape:
                raise WiringError(f"makes {dims(value.shape)}, where torch makes {dims(tuple(theirs.shape))}")
            wanted = self._type(theirs)
            fits = not isinstance(value, Tensor) or value.dtype == wanted
            checked.append(value if fits else self._place(node).then(Cast(wanted), value, part="cast"))
        return tuple(checked) if isinstance(made, tuple) else checked[0]

    def _taken(self, node: Any, maps: Mapping[Any, Tensor] = MappingProxyType({})) -> Any:
        """The arguments of a call in order and by name: what its operands stand for, or ``maps`` instead."""
        return torch.fx.node.map_arg((node.args, node.kwargs), lambda each: maps.get(each, self.values[each]))

    def _outside(self, node: Any) -> bool:
        """Whether a node is a constant of several values that is not learned."""
        value = self.values[node]
        return isinstance(value, Constant) and not value.learned and value.elements > 1

    def _learned(self, taken: Any) -> list[Constant]:
        """The learned values among the arguments."""
        leaves = trees.tree_leaves(taken, is_leaf=lambda value: isinstance(value, Constant))
        return [value for value in leaves if isinstance(value, Constant) and value.learned]

    def _constants(self, node: Any, taken: Any, shapes: Sequence[Shape]) -> Any:
        """What is made of constants: learned values under another shape or by a function stay as many as they are."""
        learned = [] if kind_of(node) in CONSTANT else self._learned(taken)
        makes = sum(map(prod, shapes))
        sizes: dict[str, int] = {}
        for value in learned:  # of several that follow from a parameter the largest
            sizes[value.name] = max(value.elements, sizes.get(value.name, 0))
        if learned and makes > sum(sizes.values()):
            return self._spread(node, learned[0], shapes[0])
        name = max(sizes, key=lambda each: sizes[each], default="")
        if makes < sum(sizes.values()):
            self.merged.update({other: size for other, size in sizes.items() if other not in {name, *self.common}})
        whole = learned[0].whole or learned[0].elements if len(sizes) == 1 else 0
        several = name in self.common or len(shapes) == 1  # else the parts are all there is, each a weight by itself
        types = [self._type(value) for value in _tensors(node)]
        made = [
            Constant(
                shape,
                _read(kind_of(node), taken, shape),
                name,
                dtype,
                bool(learned),
                whole=whole if several and prod(shape) < whole else 0,
            )
            for shape, dtype in zip(shapes, types, strict=True)
        ]
        return _as(node, made)

    def _spread(self, node: Any, value: Constant, shape: Shape) -> Tensor:
        """Copies of a learned value, such as a class token or a state for each image: rows of a table, so often."""
        sizes = (1,) * (len(shape) - len(value.shape)) + value.shape
        if len(sizes) != len(shape) or any(size not in (1, wanted) for size, wanted in zip(sizes, shape, strict=True)):
            raise UnsupportedError(
                f"copies of a learned value of {dims(value.shape)} as {dims(shape)} are not supported"
            )
        inner = 1 + max([axis for axis, size in enumerate(shape) if size != sizes[axis]], default=len(shape) - 2)
        table = (prod(sizes[:inner]), prod(sizes[inner:]))
        apart = self._place(node, [value._replace(shape=table)])
        (rows,) = apart.apply(Input(shape[:inner], "int64"), part="rows")
        taken = apart.then(Embedding(*table), rows)
        return apart.then(Reshape(shape), taken, part="reshape")

    def _rows(self, node: Any, kind: str) -> dict[Any, Tensor]:
        """The map of a layer, where this is learned, such as a decoder's queries, as the rows of a table."""
        source = node.args[0] if kind in OF_MAPS else None
        value = self.values.get(source)
        if not isinstance(value, Constant) or not value.learned or len(value.shape) < 2:
            return {}
        if source not in self.maps:
            self.maps[source] = self._spread(node, value, value.shape)
        return {source: self.maps[source]}

    def _map(self, node: Any) -> Tensor:
        """A constant that is not learned as a map that is given from outside, such as a mask or positions."""
        if node not in self.maps:
            target = self.buffers.get(node.name)
            path = target or self.places.of(node)
            value = self.values[node]
            apart = TorchNode.at(path, self.taken, self.dtype)
            (self.maps[node],) = apart.apply(Input(value.shape, value.dtype))
        return self.maps[node]

    def _left_out(self, node: Any) -> Any:
        """Go on behind a call that is not known, with the shapes that torch says it makes."""
        self.skipped[kind_of(node)] += 1
        shapes = tuple([_sizes(value) for value in _tensors(node)])
        types = tuple([self._type(value) for value in _tensors(node)])
        taken = _flowing(self._taken(node))
        return _as(node, self._place(node).apply(Opaque(kind_of(node), shapes, types), *taken))


def _uncounted(why: str, sizes: Mapping[str, int]) -> list[str]:
    """A note on parameters that are not counted, if there are any."""
    if not sizes:
        return []
    names = ", ".join(list(sizes)[:LISTED]) + f" and {len(sizes) - LISTED} more" * (len(sizes) > LISTED)
    several = "s are" if len(sizes) > 1 else " is"
    return [f"{len(sizes)} parameter{several} {why} and not counted, {sum(sizes.values())} values: {names}"]


def type_of(tensor: Any) -> str:
    """A tensor's element type by our name."""
    name = str(tensor.dtype).removeprefix("torch.")
    name = next((known for known in ("float8", "float4") if name.startswith(known)), name)
    if name not in BITS:
        raise UnsupportedError(f"the element type {name} is not supported; {suggestion(name, BITS)}")
    return name


def _network_type(module: Any) -> str:
    """The element type of most of a module's weights."""
    found = Counter({"float32": 0})
    for weight in module.parameters():
        if weight.is_floating_point():
            found[type_of(weight)] += weight.numel()
    return found.most_common(1)[0][0]


def _tensors(node: Any) -> list[Any]:
    """The tensors that a call makes, as torch sees them."""
    made: list[Any] = trees.tree_leaves(node.meta.get("val"))
    return [value for value in made if isinstance(value, torch.Tensor)]


def _as(node: Any, made: Sequence[Any]) -> Any:
    """What a call makes: one value, or several."""
    return tuple(made) if isinstance(node.meta.get("val"), list | tuple) else made[0] if made else None


def _used(node: Any, count: int) -> tuple[bool, ...]:
    """Of each result of a call whether anything reads it."""
    if any(user.target is not operator.getitem for user in node.users):
        return (True,) * count
    read = {user.args[1] for user in node.users if user.users}
    return tuple([index in read for index in range(count)])


def _read(kind: str, taken: Any, shape: Shape) -> Callable[[], Array | None]:
    """The values of what a call makes of constants: zeros, or the same in another shape; others are not known."""
    first = taken[0][0] if taken[0] else None
    if kind in ZEROS:
        return lambda: np.broadcast_to(np.float32(0), shape)
    if CALLS.get(kind) in UNCHANGED and isinstance(first, Constant):
        return lambda: None if (values := first.read()) is None else values.reshape(shape)
    return lambda: None


def _flowing(taken: Any) -> list[Tensor]:
    """The operands that flow."""
    return [value for value in trees.tree_leaves(taken) if isinstance(value, Tensor)]


def _sizes(value: Any) -> Shape:
    """A tensor's shape, which must not depend on values."""
    if not all(isinstance(size, int) for size in value.shape):
        raise UnsupportedError(f"it makes a map whose size depends on values: {'x'.join(map(str, value.shape))}")
    return tuple(value.shape)


def _values(tensor: Any) -> Array | None:
    """The values of a constant, if it has a few and they are there."""
    if tensor.is_meta or tensor.numel() > LIMIT or tensor.dtype == torch.bfloat16:
        return None
    values: Array = tensor.detach().cpu().numpy()
    return values


def kind_of(node: Any) -> str:
    """A call -> aten's name of the function, which its form in place shares; with its library, if it is another."""
    schema = _schema(node)
    if schema is None:
        return str(node.target)
    library, _, name = schema.name.partition("::")
    own = name if name.endswith("__") else name.removesuffix("_")
    return ALIASES.get(own, own) if library == "aten" else f"{library}::{own}"


def _schema(node: Any) -> Any:
    """What torch declares of a function's arguments and results; None for what is not one of a library."""
    return getattr(node.target, "_schema", None)


class Places:
    """Where calls are in the module: a layer has the path of its module, if it is all that this calls, or one below."""

    def __init__(self, calls: Iterable[Any]) -> None:
        self._modules: Final = {node: self._module(node) for node in calls}
        paths = {path for _, path in self._modules.values()}
        self._outer: Final = {path[:at] for path in paths for at, sign in enumerate(path) if sign == "."}
        self._calls: Final = Counter(
            key
            for node, (key, _) in self._modules.items()
            if node.users
            and node.all_input_nodes  # what is made of nothing is no layer
            and node.target is not operator.getitem
            and CALLS.get(kind_of(node)) not in UNCHANGED
        )

    @staticmethod
    def _module(node: Any) -> tuple[str, str]:
        """The innermost module of a call: which time it runs, and its path."""
        stack = list((node.meta.get("nn_module_stack") or {"": ("", None)}).items())
        key, (path, _) = stack[-1]
        return key, re.sub(r"@\d+", "", path)

    def within(self, node: Any) -> str | None:
        """The path of the module that makes a call; None for what is no call."""
        return self._modules[node][1] if node in self._modules else None

    def of(self, node: Any) -> str:
        """The path of a call's layer."""
        key, path = self._modules[node]
        if path and path not in self._outer and self._calls[key] == 1 and CALLS.get(kind_of(node)) not in UNCHANGED:
            return path
        own = kind_of(node).strip("_").replace("::", "_")
        return f"{path}.{own}" if path else own


class Memory:
    """Which values of a trace share memory: views, and what is written in place."""

    def __init__(self, calls: Iterable[Any]) -> None:
        self._root: Final[dict[Any, Any]] = {}
        self._shared: Final[dict[Any, list[Any]]] = defaultdict(list)
        self._order: Final[dict[Any, int]] = {}
        for order, node in enumerate(calls):
            self._order[node] = order
            if node.args and isinstance(node.args[0], torch.fx.Node) and self._aliases(node):
                root = self._root.get(node.args[0], node.args[0])
                self._root[node] = root
                self._shared[root].append(node)

    @staticmethod
    def _aliases(node: Any) -> bool:
        """Whether what a call makes is the memory of its first argument."""
        schema = _schema(node)
        return node.target is operator.getitem or (schema and any(value.alias_info for value in schema.returns))

    def read_later(self, node: Any) -> str | None:
        """A call that reads, after one that writes in place, other values in the same memory, which are now others."""
        schema = _schema(node)
        if schema is None or not schema.arguments or not getattr(schema.arguments[0].alias_info, "is_write", False):
            return None
        written, now = node.args[0], self._order[node]
        root = self._root.get(written, written)
        before = (root, *[value for value in self._shared[root] if self._order[value] < now])
        others = [value for value in before if value is not written]
        users = [user for other in others for user in other.users]
        return next((user.name for user in users if self._order.get(user, now + 1) > now), None)
