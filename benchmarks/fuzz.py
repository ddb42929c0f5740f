"""Broken files by the thousand: each must be answered with a result, or with exit code 2 and a message that names it.

Run ``python benchmarks/fuzz.py --cases 20000`` (needs ``pip install -e '.[test]'``). Files that are right (the light
models of the onnx package, networks of the zoo as ONNX and YAML, random models, machines, snapshots, measured layers)
are cut, flipped bit by bit, and changed in their structure; a command reads each. What must not happen is a traceback,
any other exit code, a message that does not name the file, is long or moves a terminal's cursor, a warning of a
library, more than 10 seconds or more than 1 GB. Cases in which it does are kept in a folder with the command and what
came out.
"""

import argparse
import contextlib
import gc
import importlib
import io
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from random_models import random_model

import costmodel
from costmodel import __main__, exporters, hardware, zoo
from costmodel.graph import Op

SECONDS: Final = 10
"""Of the processor, for one command."""

HUGE: Final = (50_000, 10**6)
"""How many nodes a large model has."""

LENGTH: Final = 10_000
"""Characters of all that a command says."""

PATIENCE: Final = 120
"""Seconds by the clock until a process is given up."""

MEMORY: Final = 10**9
"""Bytes beyond what a process takes that has read nothing yet."""

LIGHT: Final = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
HARDWARE: Final = Path(hardware.__file__).parents[1] / "hardware"
SMALL: Final = ("lenet5", "squeezenet", "mobilenet_v2", "shufflenet", "resnet18")

NUMBERS: Final = (
    0, 1, -1, 2, 3, 7, 255, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 10**9, 10**12, 2**62, 2**63 - 1, -(2**63),
)  # fmt: skip
WORDS: Final = (
    "", " ", "0", "-1", "1e999", "-0.0", ".nan", "NaN", ".inf", "1e-400", "0x10", "1_000", "true", "null", "~", "[]",
    "[[[[]]]]", "{a: {b: c}}", "'", '"', "&a [*a]", "*a", "!!python/object/apply:os.system [id]", "<<: *a", "? a", "|",
    "99999999999999999999999999", "9" * 5000, "1 GB", "1 GB/s", "inf", "-1 GB", "1 TFLOPS", "../../../etc/passwd", "{}",
    "a" * 300, "\u0000", "\ufeff", "\ud7ff", "\U0001f600", "\t", "Conv", "Relu", "Concat", "Input", "rest", "all", "x",
    "input", "conv1", "2020-01-01", "2**64", "%d%s%n", "${HOME}", "a: b: c", "- - -", "#", "@", "`", "%", "---", "...",
)  # fmt: skip
"""Scalars that have surprised readers of files."""


class Case(NamedTuple):
    """A file and the command that reads it, in which ``{}`` stands for the file."""

    suffix: str
    data: bytes
    command: tuple[str, ...]


# Whole files


@cache
def models() -> list[bytes]:
    """ONNX files that are right."""
    light = [path.read_bytes() for path in sorted(LIGHT.glob("*.onnx")) if path.stat().st_size < 300_000]
    made = [costmodel.to_onnx(zoo.get(name)()).SerializeToString() for name in SMALL]
    rng = Random(0)  # noqa: S311 - not for secrets
    return [*light, *made, *[random_model(rng, 12).SerializeToString() for _ in range(60)]]


@cache
def networks() -> list[bytes]:
    """YAML networks that are right."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    examples = [block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "layers:" in block]
    written = exporters.format_of(Path("a.yaml"))
    return [*[example.encode() for example in examples], *[written.encode(zoo.get(name)()) for name in SMALL]]


@cache
def machines() -> list[bytes]:
    """Machines that are right."""
    return [path.read_bytes() for path in sorted(HARDWARE.glob("*.yaml"))]


@cache
def snapshots() -> list[bytes]:
    """Snapshots of small networks."""
    from costmodel import guard

    requests = [guard.Request(name, {}, "paper-2012") for name in ("lenet5", "squeezenet")]
    return [guard.to_text([guard.take(request) for request in some]).encode() for some in (requests, requests[:1])]


@cache
def measured() -> list[bytes]:
    """Measured layers of LeNet-5."""
    rows = [
        f"{layer},{number + 1}e-6"
        for number, layer in enumerate(costmodel.cost("lenet5", "paper-2012").layers["layer"])
    ]
    return ["\n".join(["layer,measured_seconds", *rows, ""]).encode()]


# Broken files


def broken_bytes(rng: Random, whole: bytes) -> bytes:
    """Cut, flip bits, repeat a part, insert noise, or leave a part out."""
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        place, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        how = rng.randrange(6)
        if how == 0:
            del data[place:]
        elif how == 1 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[place:place] = rng.randbytes(rng.choice([1, 2, 8, 64]))
        elif how == 3:
            del data[place : min(end, place + rng.choice([1, 4, 100]))]
        elif how == 4:
            data[rng.randrange(len(data) + 1) :] += data[place : min(end, place + 200)]
        elif data:
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    return bytes(data)


def broken_text(rng: Random, data: bytes) -> bytes:
    """The same of lines, words and indentation."""
    lines = data.decode().split("\n")
    for _ in range(rng.choice([1, 1, 1, 2, 4, 20])):
        number = rng.randrange(len(lines))
        how = rng.randrange(9)
        if how == 0:
            del lines[number]
        elif how == 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[number])
        elif how == 2:
            lines[number] = rng.choice([" ", "  ", "    ", "\t", "- "]) + lines[number]
        elif how == 3:
            lines[number] = lines[number][rng.choice([1, 2, 4]) :]
        elif how == 4:
            lines[number] = lines[number][: rng.randrange(len(lines[number]) + 1)]
        elif how == 5:
            lines.insert(number, rng.choice(WORDS))
        else:
            parts = re.findall(r"[\w.+-]+|[^\w]", lines[number]) or [""]
            parts[rng.randrange(len(parts))] = rng.choice([*WORDS, *map(str, NUMBERS)])
            lines[number] = "".join(parts)
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "replace")


def bomb(rng: Random) -> bytes:
    """YAML that is small and stands for much, or is nested deep."""
    depth = rng.choice([50, 1000, 50_000, 100_000])
    head, few = "name: n\ninputs: {x: [1, 2]}\nlayers:", min(depth, 30)
    return rng.choice([
        "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(20)),
        "layers: " + "[" * depth,
        "layers: " + "{a: " * depth,
        f"{head}\n" + "".join(f"{'  ' * n}- b{n}:\n" for n in range(1, min(depth, 2000))),
        f"{head} [{'r: {repeat: 49999, layers: [' * few}Relu{']}' * few}]",
        f"{head}\n" + "  - Relu\n" * depth,
        f"{head} [b: {{repeat: {depth}, layers: [{rng.choice(['Relu', 'BatchNorm', 'Gelu', 'Flatten'])}]}}]",
        f"name: n\ninputs: {{x: [{', '.join(['2'] * depth)}]}}\nlayers: [Relu]",
        "name: " + "n" * depth + "\n" + "---\n" * depth,
        "? " * depth,
        "&a " * depth + "x",
        "{" + "a: 1, " * depth + "}",
        "a:\n" + "- " * depth + "x",
        "x: " + "!!" * depth,
        "'" + "\\x" * depth,
    ]).encode()  # fmt: skip


def broken_json(rng: Random, data: bytes) -> bytes:
    """A document with a value replaced somewhere, or nested deep."""
    if rng.random() < 0.05:
        depth = rng.choice([100, 100_000])
        return rng.choice(["[" * depth, '{"a":' * depth, "[" * depth + "]" * depth, "1" * depth, "[1e999]"]).encode()
    document = json.loads(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        inner: Any = document
        while isinstance(inner, dict | list) and inner:
            keys = [*inner] if isinstance(inner, dict) else range(len(inner))
            key = rng.choice(keys)
            if rng.random() < 0.35 or not isinstance(inner[key], dict | list) or not inner[key]:
                if rng.random() < 0.2:
                    del inner[key]
                else:
                    inner[key] = rng.choice(
                        [*NUMBERS, *WORDS[:40], None, True, 1.5, 1e300, [], {}, [[]], {"a": 1}, 10**40]
                    )
                break
            inner = inner[key]
    return json.dumps(document).encode("utf-8", "replace")


def broken_model(rng: Random, data: bytes) -> bytes:
    """A model with its parts dropped, repeated, exchanged and set to what they cannot be."""
    model = ModelProto.FromString(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        with contextlib.suppress(ValueError, TypeError, IndexError):  # what no model can hold
            rng.choice(CHANGES)(rng, model)
    return bytes(model.SerializeToString())


def _node(rng: Random, model: ModelProto) -> Any:
    return rng.choice(model.graph.node)


def _drop(rng: Random, model: ModelProto) -> None:
    parts = rng.choice([model.graph.node, model.graph.initializer, model.graph.input, model.graph.output])
    del parts[rng.randrange(len(parts))]


def _repeat(rng: Random, model: ModelProto) -> None:
    parts = rng.choice([model.graph.node, model.graph.initializer, model.graph.input, model.graph.output])
    parts.append(rng.choice(parts))


def _exchange(rng: Random, model: ModelProto) -> None:
    nodes = [*model.graph.node]
    a, b = rng.randrange(len(nodes)), rng.randrange(len(nodes))
    nodes[a], nodes[b] = nodes[b], nodes[a]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rewire(rng: Random, model: ModelProto) -> None:
    a, b = _node(rng, model), _node(rng, model)
    a.input[rng.randrange(len(a.input))] = rng.choice([*b.output, *b.input, "", "nowhere", "x" * 5000, "\u0000\n"])


def _rename(rng: Random, model: ModelProto) -> None:
    a, b = _node(rng, model), _node(rng, model)
    name = rng.choice([b.name, "", "/" * 50, "a.b/c d", "x" * 5000, "\n\u001b[2J", "../..", "1", "costmodel"])
    if rng.random() < 0.5:
        a.name = name
    else:
        a.output[rng.randrange(len(a.output))] = rng.choice([*b.output, name])


def _operator(rng: Random, model: ModelProto) -> None:
    kinds = [*Op.onnx_registry, *Op.registry, "If", "Loop", "Scan", "Constant", "Shape", "Range", "Tile", "Expand",
             "ConstantOfShape", "Cast", "Where", "NonZero", "Einsum", "Nothing", "", "\n"]  # fmt: skip
    node = _node(rng, model)
    node.op_type = rng.choice(kinds)
    if rng.random() < 0.1:
        node.domain = rng.choice(["costmodel", "com.microsoft", "ai.onnx", "ai.onnx.ml", "x", "\n"])


def _inputs(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model)
    if rng.random() < 0.5 and node.input:
        del node.input[rng.randrange(len(node.input))]
    else:
        node.input.append(rng.choice([*_node(rng, model).output, ""]))


def _outputs(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model)
    if rng.random() < 0.3:
        del node.output[:]
    else:
        node.output.extend(["more", ""][: rng.randint(1, 2)])


def _attribute(rng: Random, model: ModelProto) -> None:
    node = rng.choice([node for node in model.graph.node if node.attribute])
    item = rng.choice(node.attribute)
    value = rng.choice([
        rng.choice(NUMBERS), [rng.choice(NUMBERS) for _ in range(rng.choice([1, 2, 3, 4, 6, 100]))], rng.random() * 10,
        float("nan"), float("inf"), [0.5], rng.choice(WORDS), ["a", "b"],
        helper.make_tensor("", TensorProto.INT64, [1], [7]),
    ])  # fmt: skip
    how = rng.randrange(4)
    if how == 0:
        node.attribute.remove(item)
    elif how == 1:
        item.type = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14])
    elif how == 2 and item.ints:
        item.ints[rng.randrange(len(item.ints))] = rng.choice(NUMBERS)
    else:
        item.CopyFrom(helper.make_attribute(item.name, value))


def _new_attribute(rng: Random, model: ModelProto) -> None:
    names = [
        "axis",
        "axes",
        "pads",
        "strides",
        "kernel_shape",
        "group",
        "auto_pad",
        "to",
        "perm",
        "split",
        "value",
        "ceil_mode",
    ]
    value = rng.choice([rng.choice(NUMBERS), [rng.choice(NUMBERS)] * rng.randint(1, 5), 0.5, "SAME_UPPER"])
    _node(rng, model).attribute.append(helper.make_attribute(rng.choice(names), value))


def _shape(rng: Random, model: ModelProto) -> None:
    shape = rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.shape
    how = rng.randrange(5)
    if how == 0:
        shape.dim.add(dim_value=rng.choice(NUMBERS))
    elif how == 1:
        del shape.dim[rng.randrange(len(shape.dim))]
    elif how == 2:
        rng.choice(shape.dim).dim_param = rng.choice(["N", "", "batch size", "\n"])
    elif how == 3:
        shape.dim.extend([shape.dim[0]] * rng.choice([10, 3000]))
    else:
        rng.choice(shape.dim).dim_value = rng.choice(NUMBERS)


def _type(rng: Random, model: ModelProto) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    if rng.random() < 0.2:
        value.ClearField("type")
    elif rng.random() < 0.2:
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1
    else:
        value.type.tensor_type.elem_type = rng.choice([*range(28), -1, 1000])


def _constant(rng: Random, model: ModelProto) -> None:
    tensor = rng.choice(model.graph.initializer)
    how = rng.randrange(7)
    if how == 0:
        tensor.dims.append(rng.choice(NUMBERS))
    elif how == 1 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif how == 2:
        tensor.data_type = rng.choice([*range(28), -1, 1000])
    elif how == 3:
        tensor.raw_data = rng.randbytes(rng.choice([0, 1, 8, 16, 4096]))
    elif how == 4:
        tensor.data_location = TensorProto.EXTERNAL
        for key in ("location", "offset", "length"):
            tensor.external_data.add(
                key=key, value=rng.choice(["../../../etc/passwd", "/dev/zero", "", "-1", "x\u0000"])
            )
    elif how == 5:
        tensor.name = rng.choice(["", rng.choice(model.graph.initializer).name, "x" * 3000])
    else:
        numbers = [rng.choice(NUMBERS) for _ in range(rng.randint(1, 5))]
        tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.INT64, [len(numbers)], numbers))


def _opset(rng: Random, model: ModelProto) -> None:
    if rng.random() < 0.2:
        del model.opset_import[:]
    else:
        model.opset_import.add(
            domain=rng.choice(["", "ai.onnx", "x"]), version=rng.choice([*NUMBERS, 1, 6, 7, 11, 13, 18, 22])
        )


def _subgraph(rng: Random, model: ModelProto) -> None:
    """A branch or a loop around a few nodes, nested a few times or many, on conditions that are known or not."""
    x = rng.choice([*[name for node in model.graph.node for name in node.output], model.graph.input[0].name])
    inner = helper.make_node(rng.choice(["Relu", "Softmax", "Nothing", "Concat"]), [x] * rng.choice([1, 2]), ["inner"])
    made, nodes = "inner", [inner]
    for level in range(rng.choice([1, 1, 2, 3, 30])):
        name = f"deep{level}"
        nodes = [*_told(rng, level), _holding(rng, level, x, nodes, made, name)]
        made = name
    model.graph.node.extend(nodes)
    model.graph.output[0].name = made


def _told(rng: Random, level: int) -> list[NodeProto]:
    """A number of trips, a condition and a place."""
    trips = rng.choice([0, 1, 2, 2, 3, 100, *NUMBERS])
    values = {"n": [trips], "go": [rng.choice([0, 1, 1])], "place": [rng.choice([0, 0, 1, -1, 7])]}
    kinds = {"n": TensorProto.INT64, "go": TensorProto.BOOL, "place": TensorProto.INT64}
    return [
        helper.make_node(
            "Constant", [], [f"{name}{level}"], value=helper.make_tensor("", kinds[name], [len(value)], value)
        )
        for name, value in values.items()
    ]


def _holding(rng: Random, level: int, x: str, nodes: Sequence[NodeProto], inner: str, name: str) -> NodeProto:
    """A node that holds these nodes."""
    trips, go, place = f"n{level}", rng.choice([f"go{level}", x, ""]), f"place{level}"
    if rng.random() < 0.8:
        go = f"go{level}"
    given = [ValueInfoProto(name=f"{one}{level}") for one in ("i", "c", "h")]
    ends = [ValueInfoProto(name=end) for end in (rng.choice([f"c{level}", "", x]), inner, f"h{level}", inner)]
    kind = rng.choice(["If", "Loop", "Loop", "Scan", "SequenceMap"])
    if kind == "If":
        graph = helper.make_graph(nodes, "g", [], ends[1:2])
        held = {"then_branch": graph, "else_branch": graph} if rng.random() < 0.9 else {"then_branch": graph}
        return helper.make_node("If", [go], [name], **held)
    if kind == "Loop":
        several = rng.choice([2, 2, 3])
        body = helper.make_graph(nodes, "g", given[: rng.choice([3, 3, 3, 2])], [ends[0], *ends[1:several]])
        return helper.make_node(
            "Loop", [rng.choice([trips, trips, x, ""]), go, x], [name, "more"][: several - 1], body=body
        )
    if kind == "Scan":
        body = helper.make_graph(nodes, "g", given[: rng.choice([2, 2, 1])], ends[1 : rng.choice([2, 3])])
        how: dict[str, Any] = {"scan_input_axes": [rng.choice([0, 1, -1, 9])]} if rng.random() < 0.5 else {}
        return helper.make_node(
            "Scan", [x, x], [f"{name}s", name], body=body, num_scan_inputs=rng.choice([1, 1, 2, 7]), **how
        )
    body = helper.make_graph(nodes, "g", given[:1], ends[1:2])
    return helper.make_node(rng.choice(["SequenceMap", "SequenceAt", "SplitToSequence"]), [x, place], [name], body=body)


def _function(rng: Random, model: ModelProto) -> None:
    """Functions that call each other, some of them themselves, and too often."""
    names = [f"f{number}" for number in range(rng.choice([1, 2, 3, 12, 70]))]
    often = rng.choice([1, 1, 1, 2, 9])
    for number, name in enumerate(names):
        inner = rng.choice([*names[number + 1 :][:1] * 8, "Relu", rng.choice([*names, "Nothing"])])
        calls = [
            helper.make_node(inner, ["a"], [f"b{last}"], domain="f" if inner[0] == "f" else "") for last in range(often)
        ]
        if rng.random() < 0.1:
            calls[0].attribute.add(name="alpha", ref_attr_name=rng.choice(["alpha", "beta"]), type=rng.randrange(8))
        calls[-1].output[0] = rng.choice(["b"] * 9 + ["", "a"])
        model.functions.append(
            helper.make_function(
                "f", name, ["a", "z"][: rng.randint(1, 2)], ["b"], calls, [*model.opset_import], ["alpha"]
            )
        )
    node = _node(rng, model)
    node.op_type, node.domain = names[0], "f"
    if rng.random() < 0.8:
        del node.input[1:], node.output[1:], node.attribute[:]


def _explained(rng: Random, model: ModelProto) -> None:
    """Make a node one of those that onnx explains by others."""
    node = _node(rng, model)
    node.op_type = rng.choice(EXPLAINED)
    model.opset_import.add(domain="", version=rng.choice([12, 18, 22, onnx.defs.onnx_opset_version()]))
    if rng.random() < 0.7:
        del node.attribute[:]


def _explains(schema: Any) -> bool:
    return bool(schema.all_function_opset_versions)


EXPLAINED: Final = sorted({schema.name for schema in onnx.defs.get_all_schemas_with_history() if _explains(schema)})
"""Operators that onnx itself says what they stand for."""


def _arithmetic(rng: Random, model: ModelProto) -> None:
    """Sizes computed from constants that lead nowhere good."""
    chosen = [rng.choice(NUMBERS) for _ in range(rng.randint(1, 4))]
    kinds = [
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Range",
        "Reshape",
        "Pad",
        "Slice",
        "Div",
        "Mod",
        "Concat",
        "Gather",
        "Pow",
    ]
    made = [
        helper.make_node("Constant", [], [name], value_ints=chosen if rng.random() < 0.7 else [rng.choice(NUMBERS)])
        for name in ("c0", "c1", "c2")
    ]
    made.append(helper.make_node(rng.choice(kinds), ["c0", "c1", "c2"][: rng.randint(1, 3)], ["c3"]))
    made.append(helper.make_node(rng.choice(kinds), [model.graph.node[0].output[0], "c3"], ["c4"]))
    model.graph.node.extend(made)
    model.graph.output.add(name="c4")


CHANGES: Final[Sequence[Callable[[Random, ModelProto], None]]] = (
    _drop, _repeat, _exchange, _rewire, _rename, _operator, _inputs, _outputs, _attribute, _attribute, _new_attribute,
    _shape, _type, _constant, _constant, _opset, _subgraph, _subgraph,
    _function, _explained, _arithmetic,
)  # fmt: skip


@cache
def huge(nodes: int) -> bytes:
    """A model of so many nodes, each on what the one before it makes."""
    given, last = (helper.make_tensor_value_info(f"{number:07}", 1, [1, 4]) for number in (0, nodes))
    opset = helper.make_opsetid("", 17)
    node = helper.make_node("Relu", ["0000000"], ["0000001"])
    model = helper.make_model(helper.make_graph([node], "huge", [given], [last]), opset_imports=[opset])
    template = node.SerializeToString().replace(b"0000000", b"%07d").replace(b"0000001", b"%07d")
    part = bytes([1 << 3 | 2, len(node.SerializeToString())]) + template
    whole = b"".join([part % (number, number + 1) for number in range(1, nodes)])
    size = bytes([len(whole) >> shift & 127 | 128 * (shift < 28) for shift in range(0, 35, 7)])
    return bytes(
        model.SerializeToString() + bytes([7 << 3 | 2]) + size + whole
    )  # a second graph is merged into the first


# Cases


def _onnx(rng: Random) -> Case:
    data = rng.choice(models())
    if rng.random() < 0.0005:
        data = huge(rng.choice(HUGE))
    elif rng.random() < 0.75:
        data = broken_model(rng, data)
    else:
        data = broken_bytes(rng, data)
    shape = rng.choice(["x=1x2x3", "data_0=1x3x9x9", "=0", "x=9x9x9x9x9"])
    command = rng.choice([
        ("profile", "{}", "--hw", "paper-2012"),
        ("profile", "{}", "--hw", "paper-2012", "--unknown", "skip", "--quiet"),
        ("profile", "{}", "--hw", "paper-2012", "--batch", rng.choice(["2", "1000000000"]), "--quiet"),
        ("profile", "{}", "--hw", "paper-2012", "--shape", shape, "--quiet"),
        ("profile", "{}", "--hw", "paper-2012", "--place", rng.choice(["liveness", "reuse"]), "--quiet"),
        ("export", "{}"),
        ("export", "{}", "--metrics", "-"),
        ("export", "{}", "-o", "{}.again.onnx"),
        ("parity", "{}"),
        ("memory", "{}"),
    ])  # fmt: skip
    return Case(".onnx", data, command)


def _network(rng: Random) -> Case:
    how = rng.random()
    data = rng.choice(networks())
    data = bomb(rng) if how < 0.03 else broken_text(rng, data) if how < 0.85 else broken_bytes(rng, data)
    commands = [
        ("profile", "{}", "--hw", "paper-2012", "--quiet"),
        ("show", "{}"),
        ("export", "{}"),
        ("export", "{}", "-o", "{}.onnx"),
        ("parity", "{}"),
        ("memory", "{}", "--hw", "paper-2012"),
    ]
    return Case(".yaml", data, rng.choice(commands))


def _machine(rng: Random) -> Case:
    how = rng.random()
    data = rng.choice(machines())
    data = bomb(rng) if how < 0.02 else broken_text(rng, data) if how < 0.85 else broken_bytes(rng, data)
    return Case(".yaml", data, rng.choice([("profile", "lenet5", "--hw", "{}", "--quiet"), ("show", "machine", "{}")]))


def _snapshot(rng: Random) -> Case:
    data = rng.choice(snapshots())
    data = broken_json(rng, data) if rng.random() < 0.7 else rng.choice([broken_text, broken_bytes])(rng, data)
    return Case(".json", data, ("check", "{}", *rng.choice([(), ("--rtol", "time=1e-3"), ("--max", "latency=1s")])))


def _measured(rng: Random) -> Case:
    data = rng.choice([broken_text, broken_bytes])(rng, rng.choice(measured()))
    return Case(".csv", data, ("roofline", "lenet5", "--hw", "paper-2012", "-o", "{}.svg", "--measured", "{}"))


def _options(rng: Random) -> Case:
    word = rng.choice([*WORDS, *map(str, NUMBERS)]).replace("\u0000", "")
    option = rng.choice(
        ["--set", "--param", "--size", "--classes", "--width", "--batch", "--dtype", "--place", "--columns"]
    )
    text = rng.choice(
        [word, f"memories.internal.size={word}", f"engines.matrix={word}", f"size={word}", f"{word}={word}"]
    )
    return Case("", b"", ("profile", "lenet5", "--hw", "paper-2012", "--quiet", f"{option}={text}"))


KINDS: Final[Sequence[tuple[Callable[[Random], Case], float]]] = (
    (_onnx, 0.5), (_network, 0.22), (_machine, 0.12), (_snapshot, 0.1), (_measured, 0.02), (_options, 0.04),
)  # fmt: skip
"""What makes a case, and how often."""


def case(seed: int, number: int) -> Case:
    """A case, which follows from the seed and its number."""
    rng = Random(f"{seed}/{number}")  # noqa: S311 - not for secrets
    makers, shares = zip(*KINDS, strict=True)
    return Case(*rng.choices(makers, shares)[0](rng))


# A run


class Slow(BaseException):
    """The time is up; nothing but the fuzzer catches it."""


def _alarm(*_: object) -> None:
    raise Slow


def run(made: Case, folder: Path) -> tuple[str, str]:
    """Run a case -> what is wrong with it, empty if nothing, and what it printed."""
    path = folder / f"case{made.suffix}"
    if made.suffix:
        path.write_bytes(made.data)
    words = [word.replace("{}", str(path)) for word in made.command]
    errors = io.BytesIO()
    out, err = (io.TextIOWrapper(data, encoding="utf-8", write_through=True) for data in (io.BytesIO(), errors))
    code: Any = 0
    signal.signal(signal.SIGPROF, _alarm)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: others may need it too
    start = time.process_time()
    before = sys.argv
    sys.argv = ["costmodel", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            __main__.run()
    except SystemExit as ended:
        code = ended.code
    except Slow:
        return "hangs", ""
    except BaseException:
        return "raises", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.argv = before
    printed = errors.getvalue().decode("utf-8", "replace")
    return judged(code or 0, printed, str(path) if made.suffix else "", time.process_time() - start), printed


def judged(code: Any, printed: str, path: str, seconds: float) -> str:
    """What is wrong with how a command ended."""
    if seconds > SECONDS:
        return "hangs"
    if code not in (0, 1, 2) or (code == 1 and path.endswith((".onnx", ".yaml", ".csv"))):
        return f"ends with exit code {code}"
    if "Traceback" in printed:
        return "shows a traceback"
    if len(printed) > LENGTH:
        return "prints a message without an end"
    if not printed.replace("\n", "").isprintable():
        return "prints control characters"
    lines = [line for line in printed.splitlines() if line.strip()]
    if code == 2 and path and path not in printed:
        return "does not name the file"
    if code == 2 and not any(line.startswith(("error: ", "Usage: ")) for line in lines):
        return "gives no error"
    if code == 0 and any(not line.startswith(("warning: ", " ")) for line in lines):
        return "prints what is no warning of ours"
    return ""


def worker(seed: int, tasks: Connection) -> None:
    """Run the cases whose numbers come in, in a process of its own with a limit on memory."""
    warnings.simplefilter("error")
    for module in ("matplotlib.figure", "matplotlib.backends.backend_svg", "onnx.checker", "costmodel.report.roofline"):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        folder = Path(name)
        for made in (
            Case(".onnx", models()[0], ("export", "{}", "-o", "{}.again.onnx")),
            Case(".yaml", networks()[0], ("show", "{}")),
        ):
            run(made, folder)  # so that what is imported late is there
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        size = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        tasks.send(("", ""))
        while (number := tasks.recv()) is not None:
            tasks.send(run(case(seed, number), folder))
            gc.collect(0)


class Process:
    """A worker, started again when it is gone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.started = False

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=worker, args=(self.seed, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.ours.recv()
        self.started = True

    def give(self, number: int) -> None:
        """Have it run a case."""
        if not self.started:
            self.start()
        self.ours.send(number)

    def take(self) -> tuple[str, str]:
        """What came of the case."""
        if self.ours.poll(PATIENCE):
            try:
                result: tuple[str, str] = self.ours.recv()
            except EOFError:
                self.started = False
                return "kills the process", ""
            return result
        self.process.kill()
        self.started = False
        return "hangs where no signal reaches", ""


def results(seed: int, cases: int, workers: int, seconds: float) -> Iterator[tuple[int, str, str]]:
    """The number of each case, what is wrong with it, and what it printed."""
    end = time.monotonic() + seconds
    processes = [Process(seed) for _ in range(workers)]
    for first in range(0, cases, workers):
        if time.monotonic() > end:
            return
        busy = list(zip(processes, range(first, min(first + workers, cases)), strict=False))
        for process, number in busy:
            process.give(number)
        for process, number in busy:
            yield number, *process.take()


def keep(folder: Path, seed: int, number: int, problem: str, printed: str) -> None:
    """Write a case and what came of it."""
    folder.mkdir(exist_ok=True)
    made = case(seed, number)
    name = f"{seed}-{number}"
    (folder / f"{name}{made.suffix}").write_bytes(made.data)
    (folder / f"{name}.txt").write_text(
        f"{problem}\ncostmodel {' '.join(made.command)}\n\n{printed}", encoding="utf-8", errors="replace"
    )


def main() -> None:
    """Run cases until there are enough or the time is up; the exit code is 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=20_000, help="how many cases (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="what all cases follow from (default: 0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so many (default: never)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="how many processes (default: all cores)"
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-found"), help="where cases are kept (default: fuzz-found)"
    )
    arguments = parser.parse_args()
    for seeds in (models, networks, machines, snapshots, measured):
        seeds()  # once, before there are workers
    for nodes in HUGE:
        huge(nodes)
    start, done, found = time.monotonic(), 0, Counter[str]()
    for number, problem, printed in results(arguments.seed, arguments.cases, arguments.workers, arguments.seconds):
        done += 1
        if problem:
            found[problem] += 1
            keep(arguments.keep, arguments.seed, number, problem, printed)
            last = printed.strip().splitlines()[-1:] or [""]
            print(f"case {number} {problem}: {last[0][:160]}", flush=True)
        if done % 1000 == 0:
            print(f"{done} cases in {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} cases of seed {arguments.seed} in {time.monotonic() - start:.0f} s; found {sum(found.values())}")
    for problem, count in found.most_common():
        print(f"    {count} {problem}")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
