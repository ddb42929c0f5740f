"""Graph -> model.onnx: one node per layer under the layer's name; weights follow from a seed, or have no values.

Weights without values are made by ConstantOfShape nodes, as in the light models of the onnx package: the file is small.
A layer that ONNX has no operator for, or one that would be read as another, is a call of a function of the domain
``costmodel``: its body is the nodes of ONNX that do the same, its attributes are those of our operator. The model is
checked by onnx and read back before it is handed out, so what is written is the graph or an error.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import CostModelError, UnsupportedError, WiringError
from costmodel.execute import DTYPES, Weights, check_weights
from costmodel.execute.weights import SPANS, seeded_weight
from costmodel.exporters.layers import compact
from costmodel.graph import BITS, Graph, Input, Node, Op, Shape, Tensor, Type, Weight, dims, size_in_bytes
from costmodel.importers.folding import known
from costmodel.importers.onnx import NODE_LIMIT, OWN, Reader
from costmodel.importers.protos import DTYPE, attributes_of, element_type
from costmodel.ops.onnx import NUMBERS, Constant, Given, OnnxForm, OnnxNode, Operand, Step, Whole, path

try:
    import onnx
    from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper
except ImportError:
    raise CostModelError("writing ONNX files needs the extra 'onnx': pip install 'costmodel[onnx]'") from None

OPSET: Final = 19
"""The first in which a mean pool has a dilation; a later one where an operator needs it."""

LIMIT: Final = 2**31 - 2**24
"""Bytes of weights that a file holds: what protobuf does, less room for the nodes."""

ALIGNMENT: Final = 64
"""Bytes; where each weight begins in a file of weights."""


def encode(graph: Graph, *, seed: int | None = None, external: str | None = None) -> bytes:
    """A file's content; weights that follow from a seed are in it, or in the file ``external`` beside it."""
    data: bytes = model(graph, seed=seed, external=external).SerializeToString()
    return data


def encode_weights(graph: Graph, seed: int) -> Iterator[bytes]:
    """The content of the file ``external``, weight after weight."""
    for held in _Writer(graph).held:
        data: bytes = seeded_weight(held.layer, held.weight, seed, graph.dtype).tobytes()
        yield data + bytes(-len(data) % ALIGNMENT)


def model(
    graph: Graph, weights: Weights | None = None, *, seed: int | None = None, external: str | None = None
) -> ModelProto:
    """A network as an ONNX model, checked by onnx and read back; weights are given, or follow from a seed, or not."""
    light = assembled(graph)
    _check(graph, light)
    if weights is None and seed is None and external is None:
        return light
    return assembled(graph, weights, seed=seed, external=external)


def assembled(
    graph: Graph, weights: Weights | None = None, *, seed: int | None = None, external: str | None = None
) -> ModelProto:
    """The same, neither checked nor read back."""
    if weights is not None and seed is not None:
        raise CostModelError(f"{graph.name}: weights are given or follow from a seed, not both")
    if external is not None and seed is None:
        raise CostModelError(f"{graph.name}: only weights that follow from a seed go into a file of their own")
    check_weights(graph, weights)
    writer = _Writer(graph)
    if weights is None and seed is None:
        return writer.model()
    if external is not None:
        return writer.model(writer.elsewhere(external))
    size = sum(held.bytes for held in writer.held)
    if size > LIMIT:
        raise CostModelError(
            f"{graph.name}: its weights are {size} bytes, more than an ONNX file holds ({LIMIT}); --external writes "
            "them into a file of their own"
        )
    given = weights or {}
    return writer.model(
        numpy_helper.from_array(
            seeded_weight(held.layer, held.weight, seed, graph.dtype) if seed is not None else _given(held, given),
            held.name,
        )
        for held in writer.held
    )  # fmt: skip


def _given(held: "_Held", weights: Weights) -> Array:
    """The values of a weight; a layer that reads a part of what is stored does not have them all."""
    array = weights[held.layer][held.weight.name]
    if array.shape != held.weight.shape:
        raise CostModelError(
            f"weights of {held.layer!r}: its {held.weight.name!r} is a part of {held.name!r}, which is "
            f"{dims(held.weight.shape)}, and not given whole"
        )
    return array


class _Held(NamedTuple):
    """A weight of a layer: what the file calls it, and how many bytes it is."""

    name: str
    layer: str
    weight: Weight
    kind: int
    bytes: int


class _Form(NamedTuple):
    """How layers of one operator on one kind of operands are written: copies of one node, which may call a function."""

    node: NodeProto
    inputs: tuple[Given, ...]
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    """What its operands and weights are called among the inputs."""


class _Writer:
    """A graph on its way to a model."""

    def __init__(self, graph: Graph) -> None:
        self.graph: Final = graph
        self.names: Final[dict[Tensor, str]] = {}
        self.forms: Final[dict[tuple[Op, tuple[Shape, ...], tuple[Type, ...], tuple[bool, ...]], _Form]] = {}
        self.read: Final = {*graph.outputs, *[tensor for node in graph.nodes.values() for tensor in node.inputs]}
        self.functions: Final[dict[str, FunctionProto]] = {}
        self.constants: Final[dict[tuple[str, Shape, bytes], TensorProto]] = {}
        self.types: Final[dict[tuple[Shape, Type], TypeProto]] = {}
        self.held: Final[list[_Held]] = []
        self.shared: Final[dict[str, Shape]] = {}
        """What several layers share -> the shape in which it is written."""
        self.nodes: Final[list[NodeProto]] = []
        self.opset = OPSET
        for tensor in (tensor for node in graph.nodes.values() for tensor in node.outputs):
            if tensor.dtype not in SPANS and (dtype := tensor.dtype or graph.dtype) not in DTYPES:
                raise CostModelError(f"{graph.name}: ONNX files are written of {', '.join(DTYPES)}, not of {dtype}")
        for name, node in graph.nodes.items():
            title = path(name, node.block)
            single = len(node.outputs) == 1
            self.names.update((tensor, title if single else f"{title}:{tensor.index}") for tensor in node.outputs)
            if not isinstance(node.op, Input):
                self.layer(name, title, node)
        nodes = len(self.nodes) + len(self.held)
        if nodes > NODE_LIMIT:
            raise CostModelError(
                f"{graph.name}: {nodes} layers and weights are too many for an ONNX file that can be read again; at "
                f"most {NODE_LIMIT}"
            )

    def layer(self, name: str, title: str, node: Node) -> None:
        """Write a layer under a node's name."""
        weights = []
        for weight in node.weights:
            weights.append(weight.shared or f"{title}.{weight.name}")
            if weight.shared not in self.shared:
                size = size_in_bytes(weight.stored, BITS[weight.dtype or self.graph.dtype])
                self.held.append(_Held(weights[-1], name, self.whole(weight), self.kind(weight.dtype), size))
            if weight.shared:
                self.shared.setdefault(weight.shared, self.held[-1].weight.shape)
            if weight.shared and not weight.whole and self.shared[weight.shared] != weight.shape:
                weights[-1] = self.view(weight.shared, weight.shape, f"{title}.{weight.name}")
            if weight.whole:
                if weight.whole < weight.elements:
                    raise UnsupportedError(
                        f"{self.graph.name}: {name!r} cannot be written as ONNX: its {weight.name!r} repeats the "
                        f"{weight.whole} values of {weight.shared!r}"
                    )
                weights[-1] = self.part(weight, f"{title}.{weight.name}")
        read = tuple([tensor in self.read for tensor in node.outputs])
        key = (node.op, node.input_shapes, tuple([tensor.dtype for tensor in node.inputs]), read)
        if key not in self.forms:
            try:
                self.forms[key] = self.form(node)
            except UnsupportedError as error:
                raise UnsupportedError(f"{self.graph.name}: {name!r} cannot be written as ONNX: {error}") from None
        form = self.forms[key]
        operands = dict(zip(form.names, [*[self.names[tensor] for tensor in node.inputs], *weights], strict=True))
        results = [self.names[tensor] for tensor in node.outputs]
        inputs = [operands[source] if isinstance(source, str) else self.constant(source) for source in form.inputs]
        made = iter(results)
        self.nodes.append(_copy(form.node, title, inputs, [next(made) if output else "" for output in form.outputs]))

    def whole(self, weight: Weight) -> Weight:
        """What is stored, in the shape in which some layer reads all of it, if one does."""
        if not weight.whole:
            return weight
        every = (other for node in self.graph.nodes.values() if node.stored for other in node.weights)
        shapes = (other.shape for other in every if other.shared == weight.shared and not other.whole)
        return weight._replace(shape=next(shapes, (weight.whole,)), whole=0)

    def part(self, weight: Weight, title: str) -> str:
        """Take the first values of a constant that is stored whole -> the name of the part."""
        made = weight.shared
        for kind, *told in (("Reshape", (-1,)), ("Slice", (0,), (weight.elements,)), ("Reshape", weight.shape)):
            inputs = [made, *[self.constant(numbers) for numbers in told]]
            made = f"{title}.{kind.lower()}{len(self.nodes)}"
            self.nodes.append(helper.make_node(str(kind), inputs, [made], made))
        return made

    def view(self, shared: str, shape: Shape, title: str) -> str:
        """Take a constant in another shape -> its name."""
        made = f"{title}.reshape{len(self.nodes)}"
        self.nodes.append(helper.make_node("Reshape", [shared, self.constant(shape)], [made], made))
        return made

    def form(self, node: Node) -> _Form:
        """Find out how a layer is written."""
        names, taken = _names(node), len(node.inputs)
        form = OnnxForm(node.input_shapes, names[:taken], names[taken:], self.graph.dtype)
        results = node.op.to_onnx(form)
        steps = tuple(form.steps)
        self.opset = max([self.opset, *[_since(step.kind, *step.attributes) for step in steps]])
        if len(steps) == 1 and (*filter(None, steps[0].outputs),) == results and self.reads_back(node, steps[0]):
            return _Form(helper.make_node(steps[0].kind, [], [], **steps[0].attributes), *steps[0][1:3], names)
        others = sum(other.partition("_")[0] == node.op.kind for other in self.functions)
        function = f"{node.op.kind}_{others + 1}" if others else node.op.kind
        self.functions[function] = self.body(function, node, steps, results)
        call = helper.make_node(function, [], [], domain=OWN, **dict(compact(node.op)))
        return _Form(call, names, results, names)

    def reads_back(self, node: Node, step: Step) -> bool:
        """Whether a node by itself is read as the layer that it is written for."""
        network = self.graph.dtype
        maps = [Input(tensor.shape, tensor.dtype)() for tensor in node.inputs]
        held = [Constant(weight.shape, dtype=weight.dtype) for weight in node.weights]
        operands: dict[Given, Operand] = {None: None, **dict(zip(_names(node), (*maps, *held), strict=True))}
        inputs = [
            operands[source] if source is None or isinstance(source, str) else known(_array(source, network), network)
            for source in step.inputs
        ]
        made = iter(node.outputs)
        read = tuple([bool(output) and next(made) in self.read for output in step.outputs])
        written = helper.make_node(step.kind, [], [], **step.attributes)
        apart = OnnxNode(
            step.kind, self.opset, attributes_of(written, network), tuple(inputs),
            read, "layer", dtype=network,
        )  # fmt: skip
        try:
            results = [made for made in Op.onnx_registry[step.kind].from_onnx(apart) if made is not None]
        except (KeyError, UnsupportedError, WiringError):
            return False
        again = results[0].node
        return len(results) == len(node.outputs) and (again.op, again.inputs) == (node.op, tuple(maps))

    def body(self, function: str, node: Node, steps: Sequence[Step], results: Sequence[str]) -> FunctionProto:
        """A function that does what a layer does."""
        nodes: list[NodeProto] = []
        for step in steps:
            inputs = []
            for source in step.inputs:
                if source is None or isinstance(source, str):
                    inputs.append(source or "")
                    continue
                inputs.append(f"constant{len(nodes)}")
                array = numpy_helper.from_array(_array(source, self.graph.dtype))
                nodes.append(helper.make_node("Constant", [], inputs[-1:], value=array))
            nodes.append(helper.make_node(step.kind, inputs, step.outputs, **step.attributes))
        keys = [key for key, _ in compact(node.op)]
        return helper.make_function(OWN, function, _names(node), results, nodes, [], keys)

    def constant(self, source: Given) -> str:
        """The name of a constant, each of which is there once; that of nothing is ''."""
        if source is None:
            return ""
        array = _array(source, self.graph.dtype)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"constant{len(self.constants)}")
        return str(self.constants[key].name)

    def elsewhere(self, file: str) -> Iterator[TensorProto]:
        """The weights as tensors whose values are in another file."""
        offset = 0
        for held in self.held:
            tensor = TensorProto(
                name=held.name, data_type=held.kind, dims=held.weight.shape, data_location=TensorProto.EXTERNAL
            )
            for key, value in (("location", file), ("offset", offset), ("length", held.bytes)):
                tensor.external_data.add(key=key, value=str(value))
            offset += held.bytes + -held.bytes % ALIGNMENT
            yield tensor

    def without(self) -> Iterator[NodeProto]:
        """Nodes that make the weights, of no values that matter."""
        kinds: dict[tuple[Shape, int], NodeProto] = {}
        for held in self.held:
            key = (held.weight.shape, held.kind)
            if key not in kinds:
                value = {} if held.kind == TensorProto.FLOAT else {"value": helper.make_tensor("", held.kind, [1], [0])}
                kinds[key] = helper.make_node("ConstantOfShape", [self.constant(held.weight.shape)], [], **value)
            yield _copy(kinds[key], held.name, (), [held.name])

    def model(self, weights: Iterable[TensorProto] | None = None) -> ModelProto:
        """The whole model; without weights with nodes that make them."""
        light = [] if weights is not None else list(self.without())
        body = helper.make_graph(
            [*light, *self.nodes],
            self.graph.name,
            [self.value(tensor) for tensor in self.graph.inputs],
            [self.value(tensor) for tensor in self.graph.outputs],
            [*self.constants.values(), *(weights or ())],
            value_info=[self.value(tensor) for tensor in self.names],
        )
        opset = helper.make_opsetid("", self.opset)
        for function in self.functions.values():
            function.opset_import.append(opset)
        made = helper.make_model(
            body,
            functions=list(self.functions.values()),
            opset_imports=[opset, *([helper.make_opsetid(OWN, 1)] if self.functions else [])],
            ir_version=helper.find_min_ir_version_for([opset]),
            producer_name="costmodel",
        )
        if element_type(made) != self.graph.dtype:
            made.metadata_props.add(key=DTYPE, value=self.graph.dtype)
        return made

    def value(self, tensor: Tensor) -> ValueInfoProto:
        """A tensor's name, element type and shape."""
        key = (tensor.shape, tensor.dtype)
        if key not in self.types:
            self.types[key] = helper.make_tensor_type_proto(self.kind(tensor.dtype), tensor.shape)
        return ValueInfoProto(name=self.names[tensor], type=self.types[key])

    def kind(self, dtype: Type) -> int:
        """ONNX's number of an element type."""
        return NUMBERS[dtype or self.graph.dtype]


def _copy(node: NodeProto, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> NodeProto:
    """A node like another, of its own name and between tensors of its own."""
    made = NodeProto()
    made.CopyFrom(node)
    made.name = name
    made.input.extend(inputs)
    made.output.extend(outputs)
    return made


def _names(node: Node) -> tuple[str, ...]:
    """What operands and weights are called inside of an operator."""
    weights = [weight.name for weight in node.weights]
    return (*[f"x{number}" for number in range(len(node.inputs))], *weights)


def _array(source: Given, network: str) -> Array:
    """A constant: whole numbers, or one number of the network's type."""
    return np.array(source, np.int64 if isinstance(source, tuple | Whole) else numpy_type(network))


@cache
def _since(kind: str, *attributes: str) -> int:
    """The first operator set from :data:`OPSET` on that has an operator with these attributes."""
    for opset in range(OPSET, onnx.defs.onnx_opset_version() + 1):
        if onnx.defs.has(kind, opset) and {*attributes} <= {*onnx.defs.get_schema(kind, opset).attributes}:
            return opset
    raise UnsupportedError(f"onnx {onnx.__version__} has no operator {kind} with {', '.join(attributes) or 'nothing'}")


def _check(graph: Graph, made: ModelProto) -> None:
    """Have onnx check a model and infer its shapes, and read it back."""
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CostModelError(f"{graph.name}: onnx refuses this network: {error}") from None
    reader = Reader(Path(f"{graph.name} as ONNX"), made)
    reader.inputs({}, 1)
    reader.nodes()
    written, again = graph.wiring(), reader.graph(graph.name).wiring()  # inputs come first in a file
    for name, layer in written.items():
        if again.get(name) != layer:
            raise CostModelError(
                f"{graph.name}: an ONNX file cannot hold layer {name!r}: read back, it or its name is another"
            )
