"""Every version of every known operator of ONNX, from operator set 7 on, has the shapes that onnx itself infers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from opset_cases import CASES, UNCASED, Map

from costmodel.graph import Op
from costmodel.importers.folding import SOURCES
from costmodel.importers.onnx import CONSTANTS, CONTROL, SEQUENCES, Reader
from costmodel.ops.onnx import NUMBERS

FIRST = 7
"""The oldest operator set that is tested."""

SCHEMAS = {
    (schema.name, schema.since_version): schema
    for schema in onnx.defs.get_all_schemas_with_history()
    if not schema.domain and not schema.deprecated
}
EXPLAINED = {name for (name, _), schema in SCHEMAS.items() if schema.all_function_opset_versions}
KNOWN = {*Op.onnx_registry, *SOURCES, *CONSTANTS, *CONTROL, *SEQUENCES, *EXPLAINED} & {name for name, _ in SCHEMAS}


def in_force(name):
    """The versions of an operator that some operator set from the first one on has."""
    versions = sorted(version for known, version in SCHEMAS if known == name)
    return [version for version, later in zip(versions, [*versions[1:], FIRST + 1], strict=True) if later > FIRST]


def made(name, version, row):
    """A model of one node."""
    given, constants, names = [], [], []
    for number, value in enumerate(row.inputs):
        names.append("" if value is None else f"i{number}")
        if isinstance(value, tuple):
            shape, dtype = value if isinstance(value, Map) else (value, "float32")
            given.append(helper.make_tensor_value_info(names[-1], NUMBERS[dtype], shape))
        elif value is not None:
            constants.append(numpy_helper.from_array(np.asarray(value), names[-1]))
    outputs = [f"y{number}" for number in range(row.outputs)]
    inputs = names[:1] if name == "If" else names  # the other is what its branches read
    body = helper.make_graph(
        [helper.make_node(name, inputs, outputs, **row.attributes)],
        "one",
        given,
        [onnx.ValueInfoProto(name=output) for output in outputs],
        constants,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", max(version, FIRST))], ir_version=13)


def shape_of(kind):
    """The shape of a tensor, None where onnx does not infer it."""
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    return None if None in sizes or not kind.HasField("shape") else tuple(sizes)


@pytest.mark.parametrize(
    ("name", "version"), [(name, version) for name in sorted(KNOWN - UNCASED) for version in in_force(name)]
)
def test_every_version_has_the_shapes_that_onnx_infers(name, version):
    rows = [row for row in CASES.get(name, ()) if row.since <= version <= row.until]
    assert rows, f"{name} of version {version} needs a row in opset_cases.py"
    for row in rows:
        model = made(name, version, row)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
        reader = Reader(Path("model.onnx"), model)
        reader.inputs({}, 1)
        reader.nodes()
        ours = [reader.values[output.name] for output in inferred.output]
        kinds = [output.type.tensor_type for output in inferred.output]
        shapes = [shape_of(kind) for kind in kinds]
        if row.shapes:
            assert None in shapes, (row, "onnx infers what is stated")
            shapes = [shape or stated for shape, stated in zip(shapes, row.shapes, strict=True)]
        assert [value.shape for value in ours] == shapes, row
        types = [kind.elem_type for kind in kinds]
        assert [NUMBERS[value.dtype or reader.dtype] for value in ours] == types, row


def test_what_has_no_row_is_known_and_has_none():
    assert UNCASED <= KNOWN
    assert not [name for name in UNCASED if CASES.get(name)]
    assert {*CASES} <= KNOWN
