"""Networks of many layers: nothing recurses, nothing compares every layer with every other."""

import pytest

import costmodel
from costmodel import guard
from costmodel.graph import Graph
from costmodel.ops import Concat, Conv, Input, Relu

LAYERS = 20_000


@pytest.fixture(scope="module")
def collected():
    """A chain whose every map lives until one layer reads them all."""
    made = [Conv(4, 1)(Input((1, 3, 2, 2))())]
    for _ in range(LAYERS):
        made.append(Relu()(made[-1]))
    return Graph(Concat()(*made), "collected")


@pytest.mark.parametrize("policy", ["threshold", "liveness", "reuse"])
def test_totals_are_sums_of_all_layers(collected, policy):
    run = costmodel.cost(collected, "paper-2012", placement=policy)
    assert run.layers.total("parameters") == 4 * 3 + 4
    assert run.layers.total("macs") == 4 * 3 * 4
    assert run.layers.total("elementwise") == LAYERS * 16
    assert run.layers.total("output_bytes") == (LAYERS + 1) * 64 * 2  # the last layer writes them all again
    assert run.profile.peak_map_bytes == run.layers.total("output_bytes")


def test_a_snapshot_in_which_every_layer_has_another_name_and_another_count(collected):
    request = guard.Request("collected", {}, "paper-2012")
    before = guard.take(request, costmodel.cost(collected, "paper-2012"))
    renamed = [{**row, "layer": f"new.{row['layer']}"} for row in before.rows]
    changed = [{**row, "macs": row["macs"] + 1} for row in renamed]
    changes = [
        [change for _, _, change, *_ in guard.compare(before, guard.Snapshot(request, rows), guard.tolerances([]))]
        for rows in (renamed, changed)
    ]
    assert changes[0] == ["renamed"] * len(before.rows)
    assert changes[1] == ["removed"] * len(before.rows) + ["added"] * len(before.rows) + ["changed"]
