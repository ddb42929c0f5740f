"""ONNX files whose contents say nothing that makes sense: each is refused, with the place, the value and what is."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from random_models import model, one

import costmodel
from costmodel import CostModelError
from costmodel.errors import LISTED
from costmodel.importers.schemas import LISTS, SWITCHES


def saved(folder, made):
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return str(path)


def small(*nodes, opset=21, outputs=("y",), shape=(1, 4, 8, 8), **constants):
    return model([*nodes], {"x": shape}, constants, [*outputs], opset=opset)


def conv(inputs=("x", "w"), outputs=("y",), **how):
    return one("Conv", inputs, outputs, **how)


def with_attribute(kind, name, value, **constants):
    """A node, one attribute of which onnx's own helper would not make."""
    node = one(kind, ("x", *constants))
    node.attribute.append(value if isinstance(value, onnx.AttributeProto) else helper.make_attribute(name, value))
    return small(node, **constants)


def twice():
    node = conv(strides=[1, 1])
    node.attribute.add().CopyFrom(node.attribute[0])
    return small(node, w=(4, 4, 3, 3))


def versions(*pairs):
    made = small(one("Relu"))
    del made.opset_import[:]
    made.opset_import.extend([helper.make_opsetid(*pair) for pair in pairs])
    return made


def initializers(*names):
    made = small(conv())
    made.graph.initializer.extend([TensorProto(name=name, data_type=1, dims=[4, 4, 3, 3]) for name in names])
    return made


def split(*, parts=None, outputs=("y", "z"), **how):
    given = {} if parts is None else {"p": np.array(parts)}
    return small(one("Split", ("x", *given), outputs, axis=1, **how), outputs=outputs, **given)


def sized(size):
    made = small(one("Relu"))
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    return made


def typed(number):
    made = initializers("w")
    made.graph.initializer[0].data_type = number
    return made


def raw(count):
    made = initializers("w")
    made.graph.initializer[0].raw_data = bytes(count)
    return made


def repeated_input():
    made = small(one("f", ("x", "x"), domain="f"))
    made.functions.append(
        helper.make_function("f", "f", ["a", "a"], ["b"], [one("Relu", ("a",), ("b",))], [*made.opset_import])
    )
    made.opset_import.append(helper.make_opsetid("f", 1))
    return made


def branch():
    body = helper.make_graph([one("Relu", ("x",), ("b",))], "b", [], [onnx.ValueInfoProto(name="b")])
    return small(one("If", ("c",), then_branch=body), c=np.array(True))


def looped(trips):
    names = [onnx.ValueInfoProto(name=name) for name in ("i", "c", "h", "k")]
    body = helper.make_graph([one("Relu", ("h",), ("k",))], "g", names[:3], [names[1], names[3]])
    return small(one("Loop", ("n", "go", "x"), body=body), n=trips, go=np.array(True))


def two_values():
    return small(one("Constant", (), ("c",), value_int=1, value_float=1.0), one("Add", ("x", "c")))


def resized(sizes, axes, *, scales=False):
    given = {"s": np.array([1.0] * len(axes), np.float32)} if scales else {}
    node = one("Resize", ("x", "", "s" if scales else "", "z"), axes=axes)
    return small(node, z=np.array(sizes), **given)


def deep():
    tiles = [one("Tile", (f"t{number}", "r"), (f"t{number + 1}",)) for number in range(1, 300)]
    last = one("Relu", ("t300",))
    return small(one("Tile", ("x", "r"), ("t1",)), *tiles, last, shape=(2, 4, 8, 8), r=np.array([2**62, 1, 1, 1]))


WRONG = {
    # numbers of inputs and outputs
    "Add of one": (lambda: small(one("Add")), "(Add): takes 2 inputs, not 1"),
    "Add of three": (lambda: small(one("Add", ("x", "x", "x"))), "takes 2 inputs, not 3"),
    "Conv of four": (lambda: small(conv(("x", "w", "b", "b")), w=(4, 4, 3, 3), b=(4,)), "takes 2 to 3 inputs, not 4"),
    "Conv without weights": (lambda: small(conv(("x", ""))), "its input 1 (W) is missing"),
    "Concat of nothing": (lambda: small(one("Concat", (), axis=1)), "takes 1 or more inputs, not 0"),
    "two results": (lambda: small(conv(outputs=("y", "z")), w=(4, 4, 3, 3)), "makes 1 output, not 2"),
    "an output of nothing": (
        lambda: small(one("Relu"), outputs=("y", "z")),
        "model.onnx: nothing makes its output 'z'",
    ),
    "an operator of another domain": (
        lambda: small(one("Relu", domain="foo")),
        "(foo.Relu): operator 'Relu' of domain 'foo' is not known; known: none",
    ),
    "no operator of ONNX Runtime": (
        lambda: small(one("Gellu", domain="com.microsoft")),
        "operator 'Gellu' of domain 'com.microsoft' is not known; did you mean 'Gelu'? known: FastGelu, Gelu",
    ),
    # attributes
    "a misspelt attribute": (
        lambda: small(conv(striides=[2, 2]), w=(4, 4, 3, 3)),
        "has no attribute 'striides'; did you mean 'strides'?",
    ),
    "an attribute twice": (twice, "has the attribute 'strides' 2 times"),
    "half a group": (lambda: small(conv(group=1.5), w=(4, 4, 3, 3)), "group must be a whole number, not 1.5"),
    "a group in words": (lambda: small(conv(group="1"), w=(4, 4, 3, 3)), "group must be a whole number, not '1'"),
    "an axis between": (lambda: with_attribute("Softmax", "axis", 1.7), "axis must be a whole number, not 1.7"),
    "an attribute of no type": (
        lambda: with_attribute("Softmax", "axis", onnx.AttributeProto(name="axis", i=1)),
        "axis must be a whole number, not of type 0",
    ),
    "no axis": (lambda: small(one("Concat", ("x", "x"))), "has no axis, which must be a whole number"),
    "no groups": (
        lambda: small(one("GroupNormalization", ("x", "s", "s")), s=(4,)),
        "has no num_groups, which must be a whole number",
    ),
    "no other branch": (branch, "has no else_branch, which must be a graph"),
    "two values": (two_values, "has 2 values: value_float, value_int; one is accepted"),
    "keepdims": (lambda: small(one("ReduceMean", keepdims=2)), "keepdims must be 0 or 1, not 2"),
    "transB": (
        lambda: small(one("Gemm", ("x", "w"), transB=2), shape=(1, 4), w=(4, 4)),
        "transB must be 0 or 1, not 2",
    ),
    "ceil_mode": (
        lambda: small(one("MaxPool", kernel_shape=[2, 2], ceil_mode=2)),
        "ceil_mode must be 0 or 1, not 2",
    ),
    "layout": (
        lambda: small(one("RNN", ("x", "w", "r"), hidden_size=2, layout=7), shape=(1, 2, 3), w=(1, 2, 3), r=(1, 2, 2)),
        "layout must be 0 or 1, not 7",
    ),
    # splits
    "three of two": (lambda: split(num_outputs=3), "has num_outputs 3 and 2 outputs"),
    "fewer than none": (lambda: split(num_outputs=-2), "has num_outputs -2 and 2 outputs"),
    "split twice": (lambda: split(num_outputs=2, parts=[1, 3]), "takes either split or num_outputs, not both"),
    "split by nothing": (split, "takes either split or num_outputs, not neither"),
    # axes
    "Slice": (
        lambda: small(one("Slice", ("x", "s", "e", "a")), s=np.array([0, 1]), e=np.array([4, 4]), a=np.array([2, -2])),
        "has an axis twice in [2, -2]",
    ),
    "Resize": (lambda: resized([2, 2], [2, 2]), "has an axis twice in [2, 2]"),
    "Pad": (
        lambda: small(one("Pad", ("x", "p", "", "a")), p=np.array([1, 1, 1, 1]), a=np.array([2, 2])),
        "has an axis twice in [2, 2]",
    ),
    "Unsqueeze": (lambda: small(one("Unsqueeze", ("x", "a")), a=np.array([0, 0])), "has an axis twice in"),
    "Unsqueeze of a constant": (
        lambda: small(
            one("Unsqueeze", ("c", "a"), ("u",)), one("Add", ("x", "u")), c=np.array([1]), a=np.array([0, 0])
        ),
        "has an axis twice in",
    ),
    # operands that tell
    "sizes and scales": (lambda: resized([2, 2], [2, 3], scales=True), "has both scales and sizes"),
    "a fractional shape": (
        lambda: small(one("Reshape", ("x", "s")), s=np.array([1.0, 256.0])),
        "its input 1 must be a list of whole numbers, not [1.0, 256.0]",
    ),
    "a shape of two axes": (
        lambda: small(one("Reshape", ("x", "s")), s=np.array([[1, 256]])),
        "its input 1 must be a list of whole numbers, not [[1, 256]]",
    ),
    "half a place": (
        lambda: small(one("TopK", ("x", "k"), ("y", "z")), k=np.array([1.5])),
        "its input 1 must be a list of whole numbers, not [1.5]",
    ),
    "half the pads": (
        lambda: small(conv(pads=[1, 1]), w=(4, 4, 3, 3)),
        "has 2 pads for a 3x3 kernel, which takes 4",
    ),
    "a range of lists": (
        lambda: small(
            one("Range", ("a", "b", "b"), ("r",)), one("Reshape", ("x", "r")), a=np.array([1, 2]), b=np.array(4)
        ),
        "takes three single numbers, not 2, scalar, scalar",
    ),
    "trips": (
        lambda: looped(np.array(2.7)),
        "the number of its trips must be a whole number or a truth, not of float64",
    ),
    "a bias of rank 3": (
        lambda: small(one("Gemm", ("x", "w", "c")), shape=(1, 4), w=(4, 4), c=(2, 1, 4)),
        "cannot add 2x1x4 to 1x4",
    ),
    "Expand to nothing": (
        lambda: small(one("Expand", ("x", "s")), s=np.array([0, 4, 8, 8])),
        "cannot stretch 1x4x8x8 to [0, 4, 8, 8]; sizes of at least 1 are accepted",
    ),
    "Expand below nothing": (
        lambda: small(one("Expand", ("x", "s")), s=np.array([-1, 4, 8, 8])),
        "cannot stretch 1x4x8x8 to [-1, 4, 8, 8]",
    ),
    "a long equation": (
        lambda: small(one("Einsum", ("x", "x"), equation="i" * 100_000)),
        "an equation of 100000 letters is too long; at most 1000",
    ),
    "maps beyond 64 bits": (deep, "(Tile): t1: Tile(repeats=(4611686018427387904, 1, 1, 1)) would make a map of 2^63"),
    # constants
    "an initializer twice": (lambda: initializers("w", "w"), "model.onnx: 2 initializers are named 'w'"),
    "type 0": (lambda: typed(0), "reads 'w' of element type 0 (undefined), which is not supported; known: bfloat16"),
    "type 999": (lambda: typed(999), "reads 'w' of element type 999, which is not supported"),
    "complex": (
        lambda: typed(TensorProto.COMPLEX64),
        "reads 'w' of element type 14 (complex64), which is not supported",
    ),
    "too few bytes": (lambda: raw(575), "constant 'w' of shape (4, 4, 3, 3) has 575 bytes of values, not 576"),
    # the file
    "an empty input": (lambda: sized(0), "reads input 'x', whose size in dimension 0 is 0; at least 1 is accepted"),
    "a negative input": (
        lambda: sized(-7),
        "whose size in dimension 0 is -7; at least 1 is accepted, or --shape x=?",
    ),
    "a version of 0": (lambda: versions(("", 0)), "imports version 0 of the operators of 'ai.onnx'; 1 to"),
    "a version below": (lambda: versions(("", -1)), "imports version -1 of the operators of 'ai.onnx'; 1 to"),
    "a version to come": (
        lambda: versions(("ai.onnx", 9999)),
        "imports version 9999 of the operators of 'ai.onnx'; 1 to",
    ),
    "a large version": (
        lambda: versions(("", 17), ("f", 2**62)),
        "of the operators of 'f'; 1 to 2147483647 are accepted",
    ),
    "two versions": (lambda: versions(("", 17), ("ai.onnx", 18)), "imports two versions of the operators of 'ai.onnx'"),
    "another domain only": (lambda: versions(("f", 1)), "the file imports no version of ONNX's own operators"),
    "an input of a function twice": (repeated_input, "function 'f.f' has 2 inputs that are named 'a'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name, tmp_path):
    make, message = WRONG[name]
    path = saved(tmp_path, make())
    with pytest.raises(CostModelError) as caught:
        costmodel.network(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(path)


def test_switches_are_whole_numbers_of_onnx():
    attributes = [item for schema in onnx.defs.get_all_schemas_with_history() for item in schema.attributes.items()]
    for names, kind in ((SWITCHES, "INT"), (LISTS, "INTS")):
        assert {name for name, item in attributes if item.type.name == kind} >= names


def test_what_nobody_else_reads_is_not_looked_at(tmp_path):
    made = initializers("w", "v")
    made.graph.initializer[1].data_type = TensorProto.STRING
    made.graph.node[0].attribute.append(helper.make_attribute("__tool", "note"))
    graph = costmodel.network(saved(tmp_path, made))
    assert [node.op.kind for node in graph.nodes.values()] == ["Input", "Conv"]
    assert graph.notes == ()


def test_a_size_may_stand_for_one_that_is_not_there(tmp_path):
    assert costmodel.network(saved(tmp_path, sized(0)), shape="2x4x8x8").outputs[0].shape == (2, 4, 8, 8)


def test_of_what_is_empty_the_type_can_be_read(tmp_path):
    made = small(one("CastLike", ("x", "like")))
    made.graph.input.append(helper.make_tensor_value_info("like", TensorProto.FLOAT16, [0]))
    graph = costmodel.network(saved(tmp_path, made))
    assert [(tensor.shape, tensor.dtype) for tensor in graph.outputs] == [((1, 4, 8, 8), "float16")]


def test_values_of_two_bits_are_packed(tmp_path):
    made = small(one("Cast", ("w",), ("c",), to=1), one("Add", ("x", "c")))
    made.graph.initializer.add(name="w", data_type=25, dims=[9, 1, 1, 1], raw_data=bytes(3))
    graph = costmodel.network(saved(tmp_path, made))
    assert graph.outputs[0].shape == (9, 4, 8, 8)


def test_layers_of_which_no_output_follows_are_told(tmp_path):
    graph = costmodel.network(saved(tmp_path, small(one("Relu"), conv(outputs=("d",), name="dead"), w=(4, 4, 3, 3))))
    assert graph.notes == ("not counted, since no output follows from it: 'dead' (Conv)",)
    assert graph.macs == 0
    many = [one("Tanh", outputs=(f"d{number}",)) for number in range(LISTED + 5)]
    (note,) = costmodel.network(saved(tmp_path, small(one("Relu"), *many))).notes
    assert note.startswith("not counted, since no output follows from them: 'd0' (Tanh), ")
    assert note.endswith(" and 5 more")
