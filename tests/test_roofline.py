"""The roofline: where the points are, that nothing lies on anything else, and what is refused."""

import itertools
import math
import sys
import warnings
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import costmodel
from costmodel import roofline
from costmodel.errors import CostModelError
from costmodel.graph import Op

matplotlib = pytest.importorskip("matplotlib")

from costmodel.cli import main  # noqa: E402
from costmodel.report import labels  # noqa: E402
from costmodel.report import roofline as pictures  # noqa: E402
from costmodel.report.labels import Board, Box, Segment  # noqa: E402
from costmodel.report.picture import METADATA  # noqa: E402

DESKTOP = """
name: desktop
engines:
  pointwise: {peak: 410 GFLOPS, runs: [Conv pointwise, Linear, MatMul]}
  window: {peak: 355 GFLOPS, runs: [Conv]}
  depthwise: {peak: 62 GFLOPS, runs: [Conv depthwise]}
  pools: {peak: 21.4 GFLOPS, runs: [MaxPool, AveragePool, GlobalAveragePool]}
  vector: {peak: 18 GFLOPS, runs: rest}
memories:
  L2: {size: 1 MiB, bandwidth: 210 GB/s}
  L3: {size: 16 MiB, bandwidth: 95 GB/s}
  memory: {size: inf, bandwidth: 21 GB/s}
fuse: [[Conv, BatchNorm, Relu], [Conv, BatchNorm, Relu6], [Conv, BatchNorm], [Conv, Relu], [BatchNorm, Relu]]
overlap: layer
overhead: 2 us
placement: reuse
"""


@pytest.fixture(scope="session")
def desktop(tmp_path_factory):
    """A machine with three slopes and five roofs."""
    path = tmp_path_factory.mktemp("machine") / "desktop.yaml"
    path.write_text(DESKTOP, encoding="utf-8")
    return str(path)


def cost(network, machine, changes=(), **how):
    return costmodel.cost(network, costmodel.machine(machine, changes), **how)


def picture(simulation, took=None, **how):
    return pictures.draw(simulation, roofline.points(simulation, took), measured="run.csv" if took else "", **how)


def slower(simulation, factor=2.0):
    """As if every layer had taken longer."""
    rows = zip(simulation.layers["layer"], simulation.layers["total_seconds"], strict=True)
    return {layer: seconds * factor for layer, seconds in rows}


# Where the points are


def test_a_point_by_hand():
    # 1x32x224x224 float32, read and written, and 4 vectors of 32; per value 2 operations to normalize, 2 to scale and
    # shift, 1 for the relu; behind 1 GB/s, at 10 GFLOPS
    (point,) = [p for p in roofline.points(cost("hairnet", "paper-2012")) if p.layer == "stem.bn+relu"]
    values = 32 * 224 * 224
    operations, moved = 5 * values, 2 * 4 * values + 4 * 4 * 32
    assert (point.operations, point.family) == (operations, "normalization")
    assert point.intensity == pytest.approx(operations / moved, rel=1e-12)
    assert point.performance == pytest.approx(operations / (moved / 1e9 + operations / 1e10), rel=1e-12)


@pytest.mark.parametrize("network", ["hairnet", "mobilenet_v2", "shufflenet"])
def test_without_overlap_the_roofs_add_up_like_resistors(network):
    simulation = cost(network, "paper-2012")
    found = roofline.points(simulation)
    for point, engine in zip(found, simulation.layers["engine"], strict=True):
        if point.operations:
            peak = {"matrix": 1e12, "host": 1e10}[engine]
            slope = 0.0 if math.isinf(point.intensity) else 1 / (point.intensity * 1e9)
            assert 1 / point.performance == pytest.approx(slope + 1 / peak, rel=1e-9), point
    assert math.fsum(point.share for point in found) == pytest.approx(1)


@pytest.mark.parametrize("overlap", ["none", "layer"])
@pytest.mark.parametrize("network", ["hairnet", "mobilenet_v2", "densenet121"])
def test_no_point_is_above_its_roofs(network, overlap, desktop):
    for machine, slope in (("paper-2012", 1e9), (desktop, 210e9)):
        simulation = cost(network, machine, overlap=overlap)
        peaks = {engine.name: engine.peak for engine in simulation.hardware.engines}
        for point, engines in zip(roofline.points(simulation), simulation.layers["engine"], strict=True):
            reachable = max(peaks[name] for name in engines.split("+"))
            assert point.performance <= reachable * (1 + 1e-12), point
            assert not point.operations or point.performance <= point.intensity * slope * (1 + 1e-12), point


def test_with_overlap_a_layer_of_one_engine_lies_on_its_roof():
    simulation = cost("hairnet", "paper-2012", overlap="layer")
    for point, engine in zip(roofline.points(simulation), simulation.layers["engine"], strict=True):
        roof = min({"matrix": 1e12, "host": 1e10}[engine], point.intensity * 1e9)
        assert point.performance == pytest.approx(roof, rel=1e-12)


def test_the_intensity_counts_the_bytes_of_memories_that_take_time(desktop):
    simulation = cost("mobilenet_v2", desktop)
    moved = [0] * len(simulation.layers)
    for layer, _, _, size, _ in simulation.profile.accesses.tuples():
        moved[layer] += size  # every memory of this machine takes time
    for point, size in zip(roofline.points(simulation), moved, strict=True):
        assert point.intensity == (point.operations / size if point.operations else 0)


def test_layers_at_the_ends_of_the_axes():
    found = {point.layer: point for point in roofline.points(cost("mobilenet_v2", "paper-2012"))}
    flatten, softmax = found["head.flatten"], found["head.softmax"]
    assert (flatten.operations, flatten.intensity, flatten.performance, flatten.share) == (0, 0, 0, 0)
    assert softmax.intensity == math.inf
    assert softmax.performance == pytest.approx(1e10)


def test_measured_points_are_operations_over_the_measured_time():
    simulation = cost("lenet5", "paper-2012")
    name = simulation.layers["layer"][0]
    found = roofline.points(simulation, {name: 0.5})
    for point in found:
        measured = point.layer == name
        assert point.measured == (point.operations / 0.5 if measured else None)
        assert point.measured_share == (1.0 if measured else 0.0)


def test_a_fused_layer_belongs_to_the_family_of_its_largest_part(desktop):
    found = {point.layer: point.family for point in roofline.points(cost("mobilenet_v2", desktop))}
    assert found["stem.conv+conv_bn+conv_relu"] == "convolution, window"
    assert found["stage2.0.expand+expand_bn+expand_relu"] == "convolution, pointwise"
    assert found["stage2.0.dw+dw_bn+dw_relu"] == "convolution, depthwise"
    assert found["head.fc"] == "linear"
    assert found["head.pool"] == "pooling"


def test_every_operator_that_computes_has_a_look():
    for name, operator in Op.registry.items():
        if operator.__module__.startswith("costmodel.ops.") and operator.each.elementwise and not operator.formed:
            assert roofline.family(name) in pictures.LOOKS, name
    assert roofline.family("Nonsense") == "other"
    assert len(set(pictures.LOOKS.values())) == len({marker for marker, _ in pictures.LOOKS.values()}) == 9


# Nothing lies on anything else


def polygon(text, renderer):
    """The four corners of a text, turned as it is."""
    turn = math.radians(text.get_rotation())
    text.set_rotation(0)
    box = text.get_window_extent(renderer)
    text.set_rotation(math.degrees(turn))
    x, y = text.get_transform().transform(text.get_position()) if turn else (0, 0)
    corners = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    cos, sin = math.cos(turn), math.sin(turn)
    return [(x + (a - x) * cos - (b - y) * sin, y + (a - x) * sin + (b - y) * cos) for a, b in corners]


def apart(first, second):
    """Whether a straight line parts two convex shapes: one along a side of either."""
    for shape in (first, second):
        for (x0, y0), (x1, y1) in itertools.pairwise([*shape, shape[0]]):
            one, two = ([(x - x0) * (y0 - y1) + (y - y0) * (x1 - x0) for x, y in points] for points in (first, second))
            if max(one) <= min(two) + 1e-9 or max(two) <= min(one) + 1e-9:
                return True
    return False


def corners(box):
    return [(box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top)]


CASES = {
    "names": ("hairnet", "paper-2012", False),
    "families": ("mobilenet_v2", "paper-2012", False),
    "hundreds": ("densenet121", "paper-2012", False),
    "numbers": ("hairnet", None, False),
    "measured": ("mobilenet_v2", None, True),
    "endless": ("googlenet", "paper-2012", False),
}


@pytest.fixture(scope="module", params=CASES)
def drawn(request, desktop):
    network, machine, measured = CASES[request.param]
    simulation = cost(network, machine or desktop)
    return simulation, picture(simulation, slower(simulation) if measured else None)


def renderer_of(drawing):
    drawing.figure.canvas.draw()
    return drawing.figure.canvas.get_renderer()


def test_no_label_lies_on_another_or_on_a_mark_or_a_roof(drawn):
    _, drawing = drawn
    renderer, scale = renderer_of(drawing), drawing.figure.dpi / 72
    texts = [label.text for label in drawing.labels] + drawing.roofs
    shapes = [[(x / scale, y / scale) for x, y in polygon(text, renderer)] for text in texts]
    assert len(drawing.labels) == 8
    for (one, first), (two, second) in itertools.combinations(zip(texts, shapes, strict=True), 2):
        assert apart(first, second), (one, two)
    for text, shape in zip(texts, shapes, strict=True):
        for box in drawing.boxes:
            assert apart(shape, corners(box)), (text, box)
        for line in drawing.lines:
            assert apart(shape, [line[:2], line[2:]]), (text, line)


def test_leads_cross_no_label_and_no_other_lead(drawn):
    _, drawing = drawn
    for label in drawing.labels:
        if (lead := label.place.lead) and not label.text.get_text().isdigit():
            crossed = [box for box in drawing.boxes if box.meets(lead)]
            assert all(box.grown(4).meets(Segment(*lead[2:], *lead[2:])) for box in crossed)  # where it ends
    leads = [label.place.lead for label in drawing.labels if label.place.lead]
    for label in drawing.labels:
        box = label.place.box.grown(-0.2)
        assert not any(box.meets(lead) for lead in leads)
    assert not any(one.crosses(two) for one, two in itertools.combinations(leads, 2))


def test_all_text_is_in_the_picture_and_in_its_own_place(drawn):
    _, drawing = drawn
    renderer, figure = renderer_of(drawing), drawing.figure
    whole = figure.bbox
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, text
    stacked = [drawing.axes.get_tightbbox(renderer), *(box.get_window_extent(renderer) for box in drawing.legends)]
    assert stacked[0].x0 >= 0
    for above, below in itertools.pairwise(stacked):
        assert above.y0 >= below.y1
    under = [text.get_window_extent(renderer) for text in figure.texts if text.get_position()[1] < drawing.axes.bbox.y0]
    for text in under:
        if text.y1 < stacked[0].y0:
            assert not any(text.overlaps(legend) for legend in stacked[1:])


def test_every_layer_is_in_a_mark_or_in_a_remark(drawn):
    simulation, drawing = drawn
    shown = [layer for mark in drawing.marks for layer in mark.layers]
    assert len(set(shown)) == len(shown)
    idle = simulation.layers["operations"].count(0)
    remarks = [remark for remark in drawing.remarks if "not in the plot" in remark]
    told = sum(int(word) for remark in remarks for word in remark.partition(":")[2].split() if word.isdigit())
    assert len(shown) + idle == len(simulation.layers)
    assert told == idle


def test_the_marks_of_the_largest_share_are_named(drawn):
    _, drawing = drawn
    words = "\n".join(text.get_text() for text in drawing.figure.texts)
    assert [mark.share for mark in drawing.marks] == sorted((mark.share for mark in drawing.marks), reverse=True)
    for mark in drawing.marks[:8]:
        assert mark.layers[0].partition("+")[0] in words
    numbers = [label.text.get_text() for label in drawing.labels]
    assert drawing.crowded is False
    assert numbers == [str(n) for n in range(1, 9)] or not any(number.isdigit() for number in numbers)


def test_every_roof_is_named_with_its_figure(desktop):
    words = [text.get_text() for text in picture(cost("hairnet", desktop)).roofs]
    for roof in ("pointwise  410 GFLOPS", "pools  21.4 GFLOPS", "L2  210 GB/s", "L3  95 GB/s", "memory  21 GB/s"):
        assert roof in words


def test_slopes_that_find_no_room_are_told_below(desktop):
    names = [f"L{n}" for n in range(1, 9)]
    memories = ", ".join(f"{name}: {{size: {n} MiB, bandwidth: {100 + n} GB/s}}" for n, name in enumerate(names, 1))
    drawing = picture(cost("lenet5", desktop, [f"memories={{{memories}, far: {{size: inf, bandwidth: 99 GB/s}}}}"]))
    told = [name for name in names if any(text.get_text().startswith(f"{name}  ") for text in drawing.roofs)]
    below = next(remark for remark in drawing.remarks if remark.startswith("Slopes"))
    assert sorted(told + [name for name in names if f"{name}  " in below]) == names


@pytest.mark.filterwarnings("ignore:Glyph")  # of the drawing below; render() gives none
@pytest.mark.parametrize(
    "changes",
    [
        ["memories.external.bandwidth=inf"],
        ["memories.external.bandwidth=1 B/s"],
        ["memories.external.bandwidth=1000 PB/s"],
        ["engines={all: {peak: 1 FLOPS, runs: rest}}"],
        ["engines.matrix.peak=1000 PFLOPS"],
        ["engines.matrix.peak=10 GFLOPS"],
        ["name=$x^2$ \u7db2 _{"],
        ["name=" + "long-" * 60],
    ],
    ids=lambda changes: changes[0][:30].encode("ascii", "replace").decode(),
)
def test_odd_machines_have_a_picture(changes):
    drawing = picture(cost("lenet5", "paper-2012", changes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = ET.fromstring(drawing.render("svg"))  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    figure, renderer = drawing.figure, renderer_of(drawing)
    assert all(text.get_window_extent(renderer).x1 <= figure.bbox.x1 for text in figure.texts)


def test_a_network_that_only_moves_has_a_picture():
    from costmodel.graph import Graph
    from costmodel.ops import Flatten, Input, Transpose

    x = Input((1, 3, 64, 64))()
    moved = Graph(Flatten()(Transpose((0, 2, 3, 1))(x, name="turn"), name="flat"), "mover")
    drawing = picture(costmodel.cost(moved, "paper-2012"))
    assert drawing.marks == []
    assert any("1 Transpose" in remark for remark in drawing.remarks)
    assert any("1 Flatten" in remark for remark in drawing.remarks)
    assert drawing.render("svg")


# The area of marks


@pytest.mark.parametrize("marker", [marker for marker, _ in pictures.LOOKS.values()])
def test_marks_of_any_shape_have_the_area_that_was_asked_for(marker):
    from matplotlib.markers import MarkerStyle

    size = pictures._side(marker, 50.0)  # noqa: SLF001
    style = MarkerStyle(marker)
    (shape,) = style.get_path().transformed(style.get_transform().frozen().scale(size)).to_polygons()
    steps = 400
    side = 2 * size / steps
    inside = matplotlib.path.Path(shape).contains_points(
        [(-size + (n + 0.5) * side, -size + (m + 0.5) * side) for n in range(steps) for m in range(steps)]
    )
    assert inside.sum() * side**2 == pytest.approx(50.0, rel=0.02)


# The bytes


def test_the_same_input_gives_the_same_bytes_whatever_the_users_settings():
    simulation = cost("lenet5", "paper-2012")
    made = [picture(simulation).render(kind) for kind in METADATA]
    with matplotlib.rc_context({"font.size": 20, "savefig.bbox": "tight", "svg.hashsalt": "x", "axes.grid": True}):
        again = [picture(simulation).render(kind) for kind in METADATA]
    assert made == again
    assert [data[:4] for data in made] == [b"<?xm", b"\x89PNG", b"%PDF"]
    assert b"<dc:date>" not in made[0]
    assert b"CreationDate" not in made[2]


# The command


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["costmodel", "roofline", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_a_picture(there, monkeypatch, capsysbinary):
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "a.PNG", "--size", "32", "--top", "2") == 0
    assert (there / "a.PNG").read_bytes().startswith(b"\x89PNG")
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "-") == 0
    out, err = capsysbinary.readouterr()
    assert ET.fromstring(out).tag.endswith("svg")  # noqa: S314 - our own
    assert err == b""
    assert [file.name for file in there.iterdir()] == ["a.PNG"]


def test_warnings_go_to_standard_error(there, monkeypatch, capsys):
    assert command(monkeypatch, "hairnet", "--hw", "paper-2012", "-o", "a.svg") == 0
    assert capsys.readouterr().err.startswith("warning: 13 of 61 layers need more than")


@pytest.mark.parametrize("name", ["a.jpg", "a", ".svg", "a.svg.gz"])
def test_another_suffix_is_refused_before_any_work(name, there, monkeypatch, capsys):
    assert command(monkeypatch, "no-such-network", "--hw", "paper-2012", "-o", name) == 2
    assert ".svg, .png or .pdf" in capsys.readouterr().err
    assert list(there.iterdir()) == []


def test_what_is_read_is_not_overwritten(there, monkeypatch, capsys):
    (there / "run.svg").write_text(f"{HEADS}\n", encoding="utf-8")
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "run.svg", "--measured", "run.svg") == 2
    assert "overwritten" in capsys.readouterr().err
    assert (there / "run.svg").read_text(encoding="utf-8") == f"{HEADS}\n"


def test_without_matplotlib_the_extra_is_named(there, monkeypatch, capsys):
    for name in ("costmodel.report.picture", "costmodel.report.roofline"):
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "a.svg") == 2
    error = capsys.readouterr().err
    assert "costmodel[plot]" in error
    assert len(error.splitlines()) == 1
    assert list(there.iterdir()) == []


# What was measured

HEADS = "layer,operator,measured_seconds"


def layers_of_lenet():
    return cost("lenet5", "paper-2012").layers["layer"]


def test_a_measured_run_is_read_and_drawn(there, monkeypatch, capsys):
    rows = [f'{layer},"a,b",{0.001 * n}' for n, layer in enumerate(layers_of_lenet(), 1)]
    (there / "run.csv").write_text("\ufeff" + "\r\n".join([HEADS, *rows, "", ""]), encoding="utf-8")
    simulation = cost("lenet5", "paper-2012")
    took = roofline.read_measured(there / "run.csv", simulation)
    assert list(took.values()) == [0.001 * n for n in range(1, len(rows) + 1)]
    drawing = picture(simulation, took)
    assert len(drawing.boxes) == len(drawing.marks) + sum(1 for n in simulation.layers["operations"] if n)
    assert drawing.remarks[-1] == "Measured: run.csv."
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "a.svg", "--measured", "run.csv") == 0
    assert capsys.readouterr().err == ""


def test_layers_that_were_not_measured_are_told(there, monkeypatch, capsys):
    first, *others = layers_of_lenet()
    (there / "run.csv").write_text(f"{HEADS}\n{first},,0.5\n", encoding="utf-8")
    assert command(monkeypatch, "lenet5", "--hw", "paper-2012", "-o", "a.svg", "--measured", "run.csv") == 0
    lacking = len(others) - 1  # less the view
    assert f"warning: run.csv lacks {lacking} of {len(others) + 1} layers: {others[0]}, " in capsys.readouterr().err


def test_a_view_may_take_no_time(there):
    simulation = cost("lenet5", "paper-2012")
    row = simulation.layers["operations"].index(0)
    (there / "run.csv").write_text(f"{HEADS}\n{simulation.layers['layer'][row]},,0.0\n", encoding="utf-8")
    assert list(roofline.read_measured(there / "run.csv", simulation).values()) == [0.0]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "no column 'layer'"),
        ("layer,seconds\n", 1, "no column 'measured_seconds'"),
        ("layer,layer,measured_seconds\n", 1, "'layer' is there twice"),
        (f"{HEADS}\n", None, "no layers"),
        (f"{HEADS}\nLAYER,,1\nLAYRE,,1\n", 3, "no layer 'LAYRE'"),
        (f"{HEADS}\nLAYER,,1\n,,1\n", 3, "no layer ''"),
        (f"{HEADS}\nLAYER,,1\n\nLAYER,,1\n", 4, "twice, first in line 2"),
        (f"{HEADS}\nLAYER,,\n", 2, "'' is not a time"),
        (f"{HEADS}\nLAYER,,fast\n", 2, "'fast' is not a time"),
        (f"{HEADS}\nLAYER,,-1\n", 2, "'-1' is not a time"),
        (f"{HEADS}\nLAYER,,nan\n", 2, "'nan' is not a time"),
        (f"{HEADS}\nLAYER,,inf\n", 2, "'inf' is not a time"),
        (f"{HEADS}\nLAYER,,0\n", 2, "cannot take 0 s"),
        (f"{HEADS}\nLAYER,1\n", 2, "2 cells under 3 columns"),
        (f"{HEADS}\nLAYER,,1,1\n", 2, "4 cells under 3 columns"),
        (f'{HEADS}\nLAYER,"",1\n"LAYER,,1\n', 3, "not CSV"),
        (f"{HEADS}\n\udcff,,1\n", None, "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(content, line, reason, there):
    simulation = cost("lenet5", "paper-2012")
    file = there / "run.csv"
    file.write_bytes(content.replace("LAYER", simulation.layers["layer"][0]).encode("utf-8", "surrogateescape"))
    with pytest.raises(CostModelError) as caught:
        roofline.read_measured(file, simulation)
    assert str(caught.value).startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "reason"), [("missing.csv", "No such file"), (".", "directory")])
def test_a_file_that_cannot_be_read_is_named(name, reason, there):
    with pytest.raises(CostModelError, match=f"cannot read it: .*{reason}"):
        roofline.read_measured(there / name, cost("lenet5", "paper-2012"))


def test_a_file_of_another_network_says_what_may_be_wrong(there):
    (there / "run.csv").write_text("layer,measured_seconds\nstem.conv+bn,1\n", encoding="utf-8")
    with pytest.raises(CostModelError, match="fuses other operators"):
        roofline.read_measured(there / "run.csv", cost("lenet5", "paper-2012"))


# The geometry of labels

ROOM = Box(0, 0, 400, 300)
LENGTH = st.floats(2, 30)
SPOT = st.tuples(st.floats(0, 400), st.floats(0, 300))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(SPOT, LENGTH), min_size=1, max_size=12), st.lists(st.tuples(SPOT, SPOT), max_size=4))
def test_placed_labels_are_in_the_room_and_apart_from_everything(spots, ends):
    marks = [Box.around(*spot, size, size) for spot, size in spots]
    lines = [Segment(*start, *end) for start, end in ends]
    board = Board(ROOM, marks, lines)
    placed = [place for place in board.place_all([(mark, 60, 14) for mark in marks]) if place]
    for place in placed:
        assert place.box.inside(ROOM)
        assert not any(place.box.overlaps(mark) for mark in marks)
        assert not any(place.box.meets(line) for line in lines)
    for one, two in itertools.permutations(placed, 2):
        assert not one.box.overlaps(two.box)
        assert not (one.lead and (two.box.meets(one.lead) or (two.lead and two.lead.crosses(one.lead))))


def test_a_label_with_room_around_it_stands_beside_its_mark():
    mark = Box.around(200, 150, 10, 10)
    (place,) = Board(ROOM, [mark]).place_all([(mark, 60, 14)])
    assert place.lead is None
    assert place.box.left == pytest.approx(mark.right + labels.CLEAR)
    assert place.box.center[1] == pytest.approx(150)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 20)), max_size=12))
def test_things_that_are_spread_keep_their_order_and_do_not_overlap(things):
    wanted, sizes = [at for at, _ in things], [size for _, size in things]
    places = labels.spread(wanted, sizes, 0, 100)
    squeeze = min(1, 100 / sum(sizes)) if sizes else 1
    order = sorted(range(len(things)), key=lambda n: (places[n], n))
    assert [wanted[n] for n in order] == sorted(wanted)
    edges = [edge for n in order for edge in (places[n] - sizes[n] * squeeze / 2, places[n] + sizes[n] * squeeze / 2)]
    assert all(low <= high + 1e-6 for low, high in itertools.pairwise([0, *edges, 100]))
    if len(things) == 1:
        assert places[0] == pytest.approx(min(max(wanted[0], sizes[0] / 2), 100 - sizes[0] / 2))


@given(SPOT, SPOT, SPOT, SPOT)
def test_whether_a_line_meets_a_box_is_as_parting_lines_say(start, end, one, two):
    box = Box(min(one[0], two[0]), min(one[1], two[1]), max(one[0], two[0]), max(one[1], two[1]))
    sides = list(itertools.pairwise([*corners(box), corners(box)[0]]))
    line = Segment(*start, *end)
    inside = any(box.left < x < box.right and box.bottom < y < box.top for x, y in (start, end))
    touches = inside or any(line.crosses(Segment(*a, *b)) for a, b in sides)
    if touches:
        assert box.grown(1e-6).meets(line)
    if not box.grown(1e-6).meets(line):
        assert not touches
