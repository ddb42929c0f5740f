"""module.py:function as a network: the user's code runs, and whatever it does is answered with its place."""

import json
import sys

import pytest
from command_line import process, run

import costmodel
import costmodel.importers
from costmodel.errors import CostModelError

CODE = """\
from pathlib import Path

import beside
import costmodel
from costmodel.graph import Graph
from costmodel.ops import Input, Linear

print("the user's own words")

def build(features: int = 10, bias: bool = True, kind: str = "plain"):
    Path("ran").touch()
    assert kind == "plain" and type(features) is int and type(bias) is bool
    return Graph(Linear(features, bias=bias)(Input((1, beside.WIDTH))()), "any")

ready = build()

def raises():
    return [][1]

def leaves():
    raise SystemExit(1)

def number():
    return 3

def indirectly():
    return raises()

class Long:
    def __repr__(self):
        return "Long(\\n" * 100

def three():
    return Long(), 1, 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "beside.py").write_text("WIDTH = 7\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("a = 1\ndef build(:\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    monkeypatch.delitem(sys.modules, "model", raising=False)
    return tmp_path


def test_a_function_makes_the_network(folder):
    graph = costmodel.network("model.py:build", batch=3, features="4", bias="false")
    assert (graph.macs, graph.parameters) == (3 * 7 * 4, 7 * 4)
    assert graph.name == "model:build(features=4, bias=false, batch=3)"
    assert costmodel.network("model.py:ready").parameters == 7 * 10 + 10
    assert costmodel.network(f"{folder / 'model.py'}:build").macs == 70
    assert str(folder) not in sys.path


def test_every_command_takes_one(folder):
    done = run("memory", "model.py:build", "--param", "features=5", "--csv", "-")
    assert (done.returncode, done.stderr) == (0, "the user's own words\n")
    assert "linear,Linear" in done.stdout
    assert "1x7" in run("show", "model:build", env={"PYTHONPATH": "."}).stdout
    assert "model:build" in run("compare", "model.py:build", "lenet5", "--hw", "paper-2012").stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("modle.py:build", ["modle.py:build: cannot read modle.py: there is no such file"]),
        ("model.py:bild", ["model has no 'bild'; did you mean 'build'"]),
        ("broken.py:build", ["SyntaxError: invalid syntax", "line 2: def build(:"]),
        ("model.py:raises", ["IndexError: list index out of range", "model.py, line 18: return [][1]"]),
        ("model.py:indirectly", ["IndexError", "line 18: return [][1]"]),
        ("model.py:leaves", ["SystemExit: 1", "line 21"]),
        ("no_such_package.inner:build", ["cannot import no_such_package.inner: ModuleNotFoundError"]),
    ],
)
def test_what_goes_wrong_is_named_with_its_line(folder, name, said):
    with pytest.raises(CostModelError) as error:
        costmodel.network(name)
    assert all(part in str(error.value) for part in said), error.value
    done = run("show", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_parameters_and_shapes_must_fit_the_function(folder):
    with pytest.raises(CostModelError, match="it has no parameter 'feature'; did you mean 'features'"):
        costmodel.network("model.py:build", feature=3)
    with pytest.raises(CostModelError, match="it returns a Graph, to which --shape and --unknown do not apply"):
        costmodel.network("model.py:build", shape="1x7")
    with pytest.raises(CostModelError, match="the shape of '' must be sizes such as 1x3x224x224, not '1xa'"):
        costmodel.network("model.py:build", shape="1xa")


def test_code_is_not_overwritten_and_data_runs_no_code(folder):
    done = run("memory", "model.py:build", "--csv", "./model.py")
    assert done.returncode == 2
    assert "would be overwritten" in done.stderr
    assert run("snapshot", "model.py:build", "--hw", "paper-2012", "-o", "costs.json").returncode == 2
    run("snapshot", "lenet5", "--hw", "paper-2012", "-o", "costs.json")
    kept = json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    kept["snapshots"][0]["request"]["network"] = "model.py:build"
    (folder / "costs.json").write_text(json.dumps(kept), encoding="utf-8")
    (folder / "ran").unlink(missing_ok=True)
    done = process("check", "costs.json")  # where nothing has imported the model
    assert done.returncode == 2
    assert "a snapshot is data and runs no code" in done.stderr
    assert not (folder / "ran").exists()


def test_a_tuple_of_several_inputs_is_told_where_they_belong(folder):
    with pytest.raises(CostModelError) as error:
        costmodel.network("model.py:three")
    assert str(error.value) == (
        "model.py:three: expected a torch module or (module, example inputs), not a tuple of 3; "
        "several inputs are a tuple of their own: (module, (x, y))"
    )


def test_a_module_needs_torch(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "costmodel.importers.torch", raising=False)
    monkeypatch.delattr(costmodel.importers, "torch", raising=False)
    with pytest.raises(CostModelError, match=r"needs the extra 'torch': pip install 'costmodel\[torch\]'"):
        costmodel.network("model.py:number")
