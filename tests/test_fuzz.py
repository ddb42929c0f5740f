"""Broken files: what the fuzzer found, and a few of its cases."""

import signal

import numpy as np
import onnx
import pytest
from fuzz import Case, case, run
from random_models import model, one

import costmodel
from costmodel.importers.onnx import NODE_LIMIT

PROFILE = ("profile", "{}", "--hw", "paper-2012", "--quiet")


@pytest.fixture(autouse=True)
def _no_handler_stays():
    before = signal.getsignal(signal.SIGPROF)
    yield
    signal.signal(signal.SIGPROF, before)


def small(*nodes, **constants):
    return model([*nodes] or [one("Relu")], {"x": (1, 3, 8, 8)}, constants, ["y"])


def negative_sizes():
    made = small(one("Conv", ("x", "w")))
    made.graph.initializer.add(name="w", data_type=1, dims=[4, -(2**31)])
    return made


def no_number():
    return small(one("LeakyRelu", alpha=float("nan")))


def no_epsilon(value):
    names = ["scale", "shift", "mean", "variance"]
    return small(one("BatchNormalization", ["x", *names], epsilon=value), **dict.fromkeys(names, (3,)))


def clearing():
    made = small()
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "\x1b[2J"
    return made


def too_many():
    made = small()
    node = made.graph.node[0].SerializeToString()
    return made.SerializeToString() + field(7, field(1, node) * NODE_LIMIT)  # a second graph is merged into the first


def field(number, content):
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def our_own_operator_nested():
    made = costmodel.to_onnx(costmodel.network("shufflenet", size=32))
    call = next(node for node in made.graph.node if node.domain)
    call.attribute[0].s = b"{a: " * 3000
    return made


def input_as_output():
    """The input goes out as it came in, under another shape, and is read again."""
    nodes = [one("Flatten", ("x",), ("f",)), one("Slice", ("x", "s", "e"), ("a",)), one("Relu", ("x",), ("y",))]
    return model(nodes, {"x": (2, 3, 8, 8)}, {"s": np.array([0]), "e": np.array([1])}, ["f", "a", "y"])


def nested(depth):
    """Branches in branches, as bytes: Python's protobuf writes none that are nested so deep."""
    graph = field(1, field(4, b"Relu") + field(1, b"x") + field(2, b"y"))
    for _ in range(depth):
        held = field(5, field(1, b"then_branch") + field(6, graph + field(12, field(1, b"y"))) + b"\xa0\x01\x05")
        graph = field(1, field(4, b"If") + field(1, b"x") + field(2, b"y") + held)
    return small().SerializeToString() + field(7, graph.replace(b"y", b"z"))


def test_branches_in_branches_are_read_down_to_where_the_format_ends(tmp_path):
    problem, printed = run(Case(".onnx", nested(20), PROFILE), tmp_path)
    assert problem == ""
    assert "node 'z' (If): has no else_branch, which must be a graph" in printed


def looped(trips, condition, **constants):
    """A loop of a few nodes."""
    nodes = [one("Relu", ["h"], ["k"]), one("Less", ["i", "n"], ["less"])]
    inputs = [onnx.ValueInfoProto(name=name) for name in ("i", "c", "h")]
    ends = [onnx.ValueInfoProto(name=name) for name in (condition, "k")]
    body = onnx.helper.make_graph(nodes, "g", inputs, ends)
    return small(one("Loop", [trips, "go", "x"], body=body), n=np.array(10**12), go=np.array(True), **constants)


def bomb(calls, levels=12):
    """Functions that each call the next so often."""
    made = small(one("f0", domain="f"))
    for level in range(levels):
        kind, domain = (f"f{level + 1}", "f") if level + 1 < levels else ("Relu", "")
        nodes = [one(kind, ["a"], [f"b{number}"], domain=domain) for number in range(calls)]
        made.functions.append(onnx.helper.make_function("f", f"f{level}", ["a"], ["b0"], nodes, [*made.opset_import]))
    return made


def explained(kind, **how):
    """An operator that onnx explains by others, without what it takes."""
    made = small(one(kind, **how))
    made.opset_import[0].version = 22
    return made


FOUND = {
    "branches in branches": (lambda: nested(1000), PROFILE, "not an ONNX model"),
    "a loop of many trips": (lambda: looped("n", "c"), PROFILE, "with what 'Loop' stands for there are more than"),
    "a loop without an end": (lambda: looped("", "c"), PROFILE, "never ends"),
    "a loop on what is around it": (lambda: looped("", "go"), PROFILE, "never ends"),
    "a bomb of calls": (lambda: bomb(9), PROFILE, "with what 'f0' stands for there are more than"),
    "calls too deep": (lambda: bomb(1, 70), PROFILE, "nested deeper than 64"),
    "nothing to explain": (lambda: explained("SoftmaxCrossEntropyLoss"), PROFILE, "takes 2 to 3 inputs, not 1"),
    "an attribute of another type": (
        lambda: explained("NegativeLogLikelihoodLoss", inputs=["x", "x"], reduction=7),
        PROFILE,
        "reduction must be a text, not 7",
    ),
    "a constant of a negative size": (negative_sizes, PROFILE, "constant 'w' has the shape (4, -2147483648)"),
    "no number, which no YAML holds": (no_number, ("export", "{}"), "slope: expected a number, not 'nan'"),
    "an epsilon of no number": (
        lambda: no_epsilon(float("nan")),
        PROFILE,
        "epsilon must be a number of at least 0",
    ),
    "an epsilon below 0": (lambda: no_epsilon(-1.0), PROFILE, "epsilon must be a number of at least 0, not -1.0"),
    "a name that clears the screen": (clearing, PROFILE, "leaves dimension 1 open (\\x1b[2J)"),
    "a name of a million letters": (lambda: small(one("Transpose", perm=[0] * 10**6)), PROFILE, " characters ... "),
    "no layers": (lambda: small(one("Identity")), PROFILE, "a network needs at least one layer"),
    "more than 64 bits": (
        small,
        (*PROFILE, "--batch", "1000000000", "--shape", "1x3x99999x99999"),
        "2^63 elements or more",
    ),
    "more nodes than are read": (too_many, PROFILE, f"{NODE_LIMIT + 1} nodes are too many; at most {NODE_LIMIT}"),
    "an operator of ours, nested": (our_own_operator_nested, PROFILE, "its attributes:1: "),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_refused_by_name_and_place(name, tmp_path):
    make, command, message = FOUND[name]
    made = make()
    data = made if isinstance(made, bytes) else made.SerializeToString()
    problem, printed = run(Case(".onnx", data, command), tmp_path)
    assert problem == ""
    assert message in printed
    assert printed.startswith(f"error: {tmp_path / 'case.onnx'}")


@pytest.mark.parametrize("policy", ["threshold", "liveness", "reuse"])
def test_an_input_that_is_also_an_output(policy, tmp_path):
    made = Case(
        ".onnx", input_as_output().SerializeToString(), ("profile", "{}", "--hw", "paper-2012", "--place", policy)
    )
    assert run(made, tmp_path) == ("", "")
    costs = costmodel.cost(str(tmp_path / "case.onnx"), "paper-2012", placement=policy)
    x = dict(zip(costs.profile.tensors["tensor"], costs.profile.tensors["kind"], strict=True))["x"]
    assert x == "input"  # nothing makes it, and nothing writes it out
    assert costs.layers.total("output_bytes") == 4 * (3 * 8 * 8 + 2 * 3 * 8 * 8)


def test_a_machine_without_an_engine_is_named_by_its_file(tmp_path):
    machine = (
        b"name: m\nengines: {e: {peak: 1 GFLOPS, runs: [Conv]}}\nmemories: {ram: {size: 1 GB, bandwidth: 1 GB/s}}\n"
    )
    problem, printed = run(Case(".yaml", machine, ("profile", "lenet5", "--hw", "{}")), tmp_path)
    assert problem == ""
    assert printed.startswith(f"error: {tmp_path / 'case.yaml'}: machine 'm' has no engine for operator 'Tanh'")


def test_sixty_cases(tmp_path):
    for number in range(60):
        problem, printed = run(case(1, number), tmp_path)
        assert problem == "", f"case {number}: {printed}"


def test_what_the_fuzzer_takes_for_a_finding(tmp_path, monkeypatch):
    made = Case(".onnx", onnx.ModelProto().SerializeToString(), PROFILE)
    assert run(made, tmp_path)[0] == ""
    monkeypatch.setattr(costmodel, "network", lambda *_, **__: 1 / 0)
    problem, printed = run(made, tmp_path)
    assert problem == "raises"
    assert "ZeroDivisionError" in printed

    def refuse(*_, **__):
        raise costmodel.CostModelError("something is wrong")

    monkeypatch.setattr("costmodel.cli.message", str)
    monkeypatch.setattr(costmodel, "network", refuse)
    assert run(made, tmp_path)[0] == "does not name the file"
