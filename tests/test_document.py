"""The YAML reader: plain data only, and every error names its place."""

import time

import pytest
import yaml

from costmodel import document
from costmodel.errors import CostModelError

TOY = """\
name: toy
engines:
  matrix: {peak: 2 TFLOPS, runs: [Conv, Linear]}
  host: {peak: 10 GFLOPS, runs: rest}
memories:
  near: {size: 64 kB}
  external: {size: inf, bandwidth: 8 GB/s}
fuse: [[BatchNorm, Relu]]
"""


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    """With libyaml and without it."""
    if request.param == "SafeLoader":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    return request.param


def refused(text):
    with pytest.raises(CostModelError) as caught:
        document.parse(text, "toy.yaml")
    return str(caught.value)


def plain(item):
    """An item's value without its places."""
    if isinstance(item.value, dict):
        return {key: plain(inner) for key, inner in item.value.items()}
    return [plain(inner) for inner in item.value] if isinstance(item.value, list) else item.value


# What is read


def test_every_item_knows_its_line_and_key(loader):
    root = document.parse(TOY, "toy.yaml")
    engines, fuse = root.mapping()["engines"], root.mapping()["fuse"]
    host = engines.mapping()["host"]
    linear = engines.mapping()["matrix"].mapping()["runs"].items()[1]
    relu = fuse.items()[0].items()[1]
    assert (host.line, host.key, host.file) == (4, "engines.host", "toy.yaml")
    assert (linear.line, linear.key, linear.value) == (3, "engines.matrix.runs[1]", "Linear")
    assert (relu.line, relu.key, relu.value) == (8, "fuse[0][1]", "Relu")


def test_block_and_flow_style_read_the_same(loader):
    flow = document.parse("a: {b: [1, {c: d}], e: f}", "toy.yaml")
    block = document.parse("a:\n  b:\n    - 1\n    - c: d\n  e: f\n", "toy.yaml")
    assert plain(flow) == plain(block) == {"a": {"b": ["1", {"c": "d"}], "e": "f"}}


@pytest.mark.parametrize("word", ["no", "yes", "true", "1e9", "0x10", "010", "1_000", "2020-01-01", ".inf", "12:30"])
def test_scalars_stay_text(word, loader):
    assert plain(document.parse(f"a: {word}", "toy.yaml")) == {"a": word}


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null", "NULL"])
def test_null_is_nothing(nothing, loader):
    item = document.parse(f"a: {nothing}\n", "toy.yaml").mapping()["a"]
    assert item.value == ""
    assert item.describe() == "nothing"


@pytest.mark.parametrize("word", ["null", "~", "NULL"])
def test_quoted_null_is_a_word(word, loader):
    assert plain(document.parse(f'a: "{word}"', "toy.yaml")) == {"a": word}


@pytest.mark.parametrize("key", ["1", "1.5", "true", "2020-01-01", "~"])
def test_keys_that_are_not_strings_are_read_as_text(key, loader):
    assert plain(document.parse(f"{key}: x", "toy.yaml")) == {key: "x"}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n"])
def test_empty_document_is_nothing(text, loader):
    root = document.parse(text, "toy.yaml")
    assert root.describe() == "nothing"
    with pytest.raises(CostModelError, match=r"^toy\.yaml:[12]: expected keys with values, not nothing$"):
        root.mapping()


def test_markers_around_one_document_are_accepted(loader):
    assert plain(document.parse("%YAML 1.1\n---\na: 1\n...\n", "toy.yaml")) == {"a": "1"}


# What is refused


@pytest.mark.parametrize(
    ("text", "line", "key", "word", "first"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "", "a", 1),
        ("b: 1\na:\n  x: 1\n  y: 2\n  x: 3\n", 5, "a: ", "x", 3),
        ("b: 1\na: {x: 1,\n  x: 3}\n", 3, "a: ", "x", 2),
        ("- 1\n- x: 1\n  x: 1\n", 3, "[1]: ", "x", 2),
        ('"a": 1\na: 1\n', 2, "", "a", 1),
        ("a: {}\nb: 1\na: []\n", 3, "", "a", 1),
        ("1: x\n'1': y\n", 2, "", "1", 1),
    ],
    ids=["top", "nested", "flow", "in-list", "quoted", "collections", "number"],
)
def test_duplicate_key_names_both_lines(text, line, key, word, first, loader):
    assert refused(text) == f"toy.yaml:{line}: {key}duplicate key {word!r}, first in line {first}"


@pytest.mark.parametrize(
    ("text", "line", "key", "mark"),
    [
        ("b: 1\na: &x 1\n", 2, "a: ", "&x"),
        ("a: &x [1]\n", 1, "a: ", "&x"),
        ("a: {b: {c: &x {}}}\n", 1, "a.b.c: ", "&x"),
        ("a: [1, &x 2]\n", 1, "a[1]: ", "&x"),
        ("&x a: 1\n", 1, "", "&x"),
    ],
)
def test_anchors_are_refused(text, line, key, mark, loader):
    message = refused(text)
    assert message.startswith(f"toy.yaml:{line}: {key}anchors are not read")
    assert mark in message


@pytest.mark.parametrize("text", ["a: *x\n", "- *x\n", "{<<: *x}\n", "*x : 1\n"])
def test_aliases_are_refused(text, loader):
    message = refused(text)
    assert message.startswith("toy.yaml:1: ")
    assert "aliases are not read" in message
    assert "*x" in message


def test_a_billion_laughs_are_refused_at_once(loader):
    lines = ["a0: &a0 [lol, lol, lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    start = time.process_time()
    assert refused("\n".join(lines)).startswith("toy.yaml:1: a0: anchors are not read")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "place", "tag"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", "2: b: ", "python/object/apply:os.system"),
        ("!!python/object:os.system {}\n", "1: ", "python/object:os.system"),
        ("a: !!str 1\n", "1: a: ", "str"),
        ("a: [1, !own 2]\n", "1: a[1]: ", "!own"),
        ("!!str a: 1\n", "1: ", "str"),
    ],
)
def test_tags_are_refused(text, place, tag, loader):
    message = refused(text)
    assert message.startswith(f"toy.yaml:{place}tags are not read")
    assert tag in message


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n", "a: 1\n---\n", "---\n---\na: 1\n"])
def test_a_second_document_is_refused(text, loader):
    line = text.split("\n").index("---", 1) + 1
    assert refused(text).startswith(f"toy.yaml:{line}: a second document")


@pytest.mark.parametrize(
    ("text", "line"), [("? [a]\n: b\n", 1), ("x: 1\n? {a: b}\n: c\n", 2), ("[a]: b\n", 1), ("x: {[a]: b}\n", 1)]
)
def test_a_collection_as_key_is_refused(text, line, loader):
    message = refused(text)
    assert message.startswith(f"toy.yaml:{line}: ")
    assert "a key must be one word" in message


def test_nesting_is_read_to_a_limit(loader):
    inner = document.parse("[" * document.MAX_DEPTH + "]" * document.MAX_DEPTH, "toy.yaml")
    for _ in range(document.MAX_DEPTH - 1):
        (inner,) = inner.items()
    assert inner.items() == []
    message = refused("a:\n  " + "[" * document.MAX_DEPTH + "]" * document.MAX_DEPTH)
    assert message.startswith("toy.yaml:2: a[0]")
    assert f"deeper than {document.MAX_DEPTH} levels" in message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[{a: "])
def test_a_hundred_thousand_levels_are_refused_at_once(opening, loader):
    start = time.process_time()
    assert "nested deeper" in refused(opening * 100_000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: c: d\n", 2), ("a: 1\n\tb: 2\n", 2), ("a: 1\nb: @x\n", 2), ("a: 1\n- b\n", 2), ("a: - b\n", 1)],
    ids=["colon", "tab", "at-sign", "mixed", "dash"],
)
def test_invalid_yaml_names_its_line(text, line, loader):
    assert refused(text).startswith(f"toy.yaml:{line}: not valid YAML: ")


@pytest.mark.parametrize(
    "text", ["a: [1\n", "a: {b: 1\n", 'a: "b\n', "a: 'b\n", "a: \x00", "a: b\x07", "%YAML 9.9\n---\n"]
)
def test_invalid_yaml_names_the_file(text, loader):
    message = refused(text)
    assert message.startswith("toy.yaml:")
    assert "not valid YAML: " in message
    assert "\n" not in message


def test_errors_are_one_line(loader):
    assert "\n" not in refused("a: 1\nb: [\n  c: d: e\n")


@pytest.mark.parametrize(
    ("reader", "key", "line", "found"),
    [
        ("text", "engines", 2, "expected one value, not keys with values"),
        ("text", "fuse", 8, "expected one value, not a list"),
        ("items", "name", 1, "expected a list such as [a, b], not 'toy'"),
        ("items", "memories", 5, "expected a list such as [a, b], not keys with values"),
        ("mapping", "name", 1, "expected keys with values, not 'toy'"),
        ("mapping", "fuse", 8, "expected keys with values, not a list"),
    ],
)
def test_the_wrong_kind_of_value_is_named(reader, key, line, found):
    # A mapping in block style begins with its first key, on the line below its own key.
    item = document.parse(TOY, "toy.yaml").mapping()[key]
    with pytest.raises(CostModelError) as caught:
        getattr(item, reader)()
    below = isinstance(item.value, dict)
    assert str(caught.value) in {f"toy.yaml:{n}: {key}: {found}" for n in ((line, line + 1) if below else (line,))}


# Files


def test_a_file_is_read_with_its_path_as_place(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(TOY, encoding="utf-8")
    root = document.load(file)
    assert root.file == str(file)
    assert plain(root)["memories"]["external"] == {"size": "inf", "bandwidth": "8 GB/s"}


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: \xc3\xa9t\xc3\xa9\n")
    assert plain(document.load(file)) == {"name": "\xe9t\xe9"}


@pytest.mark.parametrize(
    ("data", "byte"), [(b"name: caf\xe9\n", 9), ("name: x\n".encode("utf-16"), 0), (b"name: \xed\xa0\x80\n", 6)]
)
def test_other_encodings_are_refused(data, byte, tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_bytes(data)
    with pytest.raises(CostModelError) as caught:
        document.load(file)
    assert str(caught.value) == f"{file}: not UTF-8 text (byte {byte})"


def test_a_file_is_read_up_to_a_size(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_bytes(b"name: " + b"x" * (document.MAX_BYTES - 6))
    assert len(document.load(file).mapping()["name"].text()) == document.MAX_BYTES - 6
    file.write_bytes(b"name: " + b"x" * (document.MAX_BYTES - 5))
    with pytest.raises(CostModelError, match=f"larger than {document.MAX_BYTES} bytes") as caught:
        document.load(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_an_empty_file_is_nothing(tmp_path):
    file = tmp_path / "toy.yaml"
    file.touch()
    with pytest.raises(CostModelError) as caught:
        document.load(file).mapping()
    assert str(caught.value) == f"{file}:1: expected keys with values, not nothing"


@pytest.mark.parametrize(("name", "reason"), [("missing.yaml", "No such file"), (".", "directory")])
def test_what_cannot_be_read_is_named_with_the_reason(name, reason, tmp_path):
    with pytest.raises(CostModelError) as caught:
        document.load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot read it: ")
    assert reason in str(caught.value)


# Overrides


def changed(assignment):
    root = document.parse(TOY, "toy.yaml")
    document.override(root, assignment)
    return root


def not_changed(assignment):
    """The message; and the tree stays as it was."""
    root = document.parse(TOY, "toy.yaml")
    with pytest.raises(CostModelError) as caught:
        document.override(root, assignment)
    assert plain(root) == plain(document.parse(TOY, "toy.yaml"))
    return str(caught.value)


def test_an_override_changes_one_value_only():
    expected = plain(document.parse(TOY, "toy.yaml"))
    expected["memories"]["external"]["bandwidth"] = "2 GB/s"
    assert plain(changed("memories.external.bandwidth=2 GB/s")) == expected


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("name = other ", "name", "other"),
        ("source=a=b", "source", "a=b"),
        ("fuse=[]", "fuse", []),
        ("fuse=[[Conv, Relu], [Conv, BatchNorm]]", "fuse", [["Conv", "Relu"], ["Conv", "BatchNorm"]]),
        ("memories={l1: {size: 1 kB}}", "memories", {"l1": {"size": "1 kB"}}),
        ("name=", "name", ""),
        ("name='a: b'", "name", "a: b"),
    ],
)
def test_an_override_reads_its_value_as_yaml(assignment, key, value):
    assert plain(changed(assignment))[key] == value


def test_the_last_key_of_an_override_may_be_new():
    root = changed("engines.host.source=a data sheet")
    assert plain(root)["engines"]["host"] == {"peak": "10 GFLOPS", "runs": "rest", "source": "a data sheet"}


def test_a_later_error_in_an_override_names_the_override_and_no_line():
    runs = changed("engines.host.runs=[Conv, {a: b}]").mapping()["engines"].mapping()["host"].mapping()["runs"]
    with pytest.raises(CostModelError) as caught:
        runs.items()[1].text()
    start = "--set 'engines.host.runs=[Conv, {a: b}]': engines.host.runs[1]: "
    assert str(caught.value) == f"{start}expected one value, not keys with values"


@pytest.mark.parametrize(
    ("assignment", "unknown", "parts"),
    [
        ("memorys.external.size=1 B", "memorys", ["did you mean 'memories'?", "engines, fuse, memories, name"]),
        ("memories.extrenal.size=1 B", "extrenal", ["in memories", "did you mean 'external'?", "external, near"]),
        ("engines.matrx.a.b=1", "matrx", ["in engines", "did you mean 'matrix'?"]),
    ],
)
def test_an_unknown_key_on_the_way_is_named_with_the_known_ones(assignment, unknown, parts):
    message = not_changed(assignment)
    assert message.startswith(f"--set {assignment!r}: no key {unknown!r}")
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("assignment", ["", "name", "=", "=5", ".name=5", "memories..size=5", "memories.=5", " =5"])
def test_an_override_needs_a_key_and_an_equals_sign(assignment):
    assert not_changed(assignment).startswith(f"--set {assignment!r}: expected KEY=VALUE, such as ")


@pytest.mark.parametrize(
    ("assignment", "place"),
    [
        ("name.first=x", "name is 'toy' and has no keys"),
        ("fuse.0=x", "fuse is a list and has no keys"),
        ("memories.near.size.unit=B", "memories.near.size is '64 kB' and has no keys"),
        ("name.first.second=x", "name"),
        ("fuse.0.1=x", "fuse"),
    ],
)
def test_an_override_below_a_plain_value_is_refused(assignment, place):
    message = not_changed(assignment)
    assert message.startswith(f"--set {assignment!r}: ")
    assert place in message


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[a", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("&x 1", "anchors are not read"),
        ("*x", "aliases are not read"),
        ("!!python/object:os.system {}", "tags are not read"),
        ("{a: 1, a: 2}", "duplicate key 'a'"),
        ("[" * 100_000, "nested deeper"),
        ("a\n---\nb", "a second document"),
    ],
)
def test_a_value_that_is_not_plain_yaml_is_refused(value, problem):
    message = not_changed(f"name={value}")
    assert message.startswith("--set 'name=")
    assert ": name" in message
    assert problem in message


# What a message shows


@pytest.mark.parametrize(("start", "value", "end"), [("a: [", "1,", "]"), ("", "- a\n", "")], ids=["flow", "block"])
def test_values_are_read_to_a_number(start, value, end, loader, monkeypatch):
    if loader == "SafeLoader":  # which takes seconds
        monkeypatch.setattr(document, "MAX_VALUES", 2000)
    assert f"more than {document.MAX_VALUES} values" in refused(start + value * (document.MAX_VALUES + 1) + end)


def test_as_many_values_as_that_are_read():
    numbers = document.parse("[" + "1," * (document.MAX_VALUES - 1) + "]", "toy.yaml").items()
    assert len(numbers) == document.MAX_VALUES - 1  # and the list itself


def test_a_long_value_is_shown_in_part():
    with pytest.raises(CostModelError) as caught:
        document.parse(f"a: {'x' * 5000}", "toy.yaml").mapping()["a"].items()
    assert str(caught.value) == f"toy.yaml:1: a: expected a list such as [a, b], not '{'x' * document.SHOWN}'..."


def test_a_long_or_unprintable_key_is_shown_in_part_and_printable():
    with pytest.raises(CostModelError) as caught:
        document.parse(f"? {'x' * 5000}\n: {{b: [1]}}", "toy.yaml").mapping()["x" * 5000].mapping()["b"].text()
    assert str(caught.value).startswith("toy.yaml:2: ...xxx")
    assert str(caught.value).endswith("xxx.b: expected one value, not a list")
    assert len(str(caught.value)) < 300
    with pytest.raises(CostModelError) as caught:
        document.parse('"a\\e[31m": [1]', "toy.yaml").mapping()["a\x1b[31m"].text()
    assert str(caught.value) == "toy.yaml:1: a\\x1b[31m: expected one value, not a list"
