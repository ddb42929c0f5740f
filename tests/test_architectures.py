"""The zoo against integers that others published or counted; none of them was made by this project."""

import pytest

from costmodel import zoo
from costmodel.errors import CostModelError
from costmodel.graph import Graph

# network, parameters of it, learned values, MACs (None where no independent count is at hand), whose count
COUNTS = [
    ("alexnet", {}, 60_965_224, None, "every counter on the ONNX light model (bvlc_alexnet)"),
    ("alexnet", {"groups": 1}, 62_378_344, None, "asserted by pytorchcv for its alexnet"),
    ("vgg16", {}, 138_357_544, 15_470_264_320, "torchvision: num_params; MACs as a public per-layer count adds up"),
    ("vgg19", {}, 143_667_240, 19_632_062_464, "fvcore 0.1.5 on the ONNX light model"),
    ("googlenet", {}, 6_998_552, None, "onnx-tool 1.0.1 on the ONNX light model (inception_v1)"),
    (
        "googlenet",
        {"auxiliary_heads": True},
        13_378_280,
        None,
        "6,998,552 + 3,188,840 + 3,190,888, the two heads",
    ),
    ("resnet18", {}, 11_689_512, 1_814_073_344, "torchvision: num_params; MACs asserted by several public counters"),
    ("resnet34", {}, 21_797_672, 3_663_761_408, "asserted by pytorchcv; MACs as a public baseline has them"),
    ("resnet50", {}, 25_557_032, 4_089_184_256, "flop_counter of torch 2.13 on the ONNX light model, halved"),
    ("densenet121", {}, 7_978_856, 2_834_161_664, "flop_counter of torch 2.13 on the ONNX light model, halved"),
    ("densenet169", {}, 14_149_480, None, "asserted by pytorchcv"),
    ("densenet201", {}, 20_013_928, None, "torchvision: num_params"),
    ("squeezenet", {}, 1_248_424, None, "the paper's table 1, total"),
    ("squeezenet_v1_1", {"size": 224}, 1_235_496, 349_151_936, "fvcore 0.1.5 on the ONNX light model"),
    ("mobilenet_v1", {}, 4_231_976, 568_740_352, "asserted by pytorchcv; the MACs round to the 569 M of table 4"),
    ("mobilenet_v2", {}, 3_504_872, 300_774_272, "torchvision: num_params; MACs in public counts"),
    ("vit_b_16", {}, 86_567_656, None, "torchvision: num_params"),
    ("mixer_b_16", {}, 59_880_472, None, "timm: mixer_b16_224"),
    ("nasnet_a_mobile", {}, 5_289_978, None, "asserted by pytorchcv"),
    ("lenet5", {}, 61_706, 416_520, "156 + 2416 + 48120 + 10164 + 850; 6*28*28*25 + 16*10*10*150 + 400*120 + ..."),
]


@pytest.mark.parametrize(("name", "chosen", "parameters", "macs", "whose"), COUNTS)
def test_counts_of_others(name, chosen, parameters, macs, whose):
    graph = zoo.get(name)(**chosen)
    assert graph.parameters == parameters, whose
    if macs:
        assert graph.macs == macs, whose


def macs_of(graph, kind):
    return sum(node.op.loops(*node.input_shapes).macs for node in graph.nodes.values() if node.op.kind == kind)


# groups, MACs of the convolutions, parameters with batch norm: worked out from table 1 row by row
@pytest.mark.parametrize(
    ("groups", "macs", "parameters"),
    [
        (1, 142_502_976, 1_531_936),
        (2, 140_036_512, 1_733_848),
        (3, 136_500_672, 1_865_728),
        (4, 133_251_776, 1_968_344),
        (8, 136_829_952, 2_434_768),
    ],
)
def test_shufflenet_by_groups(groups, macs, parameters):
    graph = zoo.get("shufflenet")(groups=groups)
    assert macs_of(graph, "Conv") == macs
    assert graph.parameters == parameters


@pytest.mark.parametrize(
    ("groups", "scale", "squeeze_excite", "millions"),
    [(3, 2.0, False, 524), (3, 2.0, True, 527), (3, 1.5, False, 292)],
)
def test_shufflenet_complexity_as_its_results_table_prints_it(groups, scale, squeeze_excite, millions):
    graph = zoo.get("shufflenet")(groups=groups, scale=scale, squeeze_excite=squeeze_excite)
    assert round(graph.macs / 1e6) == millions


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("squeeze_excite", [False, True])
def test_every_shufflenet_can_be_built(groups, scale, squeeze_excite):
    graph = zoo.get("shufflenet")(groups=groups, scale=scale, squeeze_excite=squeeze_excite)
    last = {node.block[:6]: node.outputs[0].shape for node in graph.nodes.values() if node.block.startswith("stage")}
    first = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}[groups]
    assert last == {
        "stage2": (1, int(first * scale), 28, 28),
        "stage3": (1, int(2 * first * scale), 14, 14),
        "stage4": (1, int(4 * first * scale), 7, 7),
    }


# multiplier or resolution, MACs in millions and parameters in millions as tables 6 and 7 of the MobileNet paper print
@pytest.mark.parametrize(
    ("chosen", "macs", "parameters"),
    [
        ({"width": 0.75}, 325, 2.6),
        ({"width": 0.5}, 149, 1.3),
        ({"width": 0.25}, 41, 0.5),
        ({"size": 192}, 418, 4.2),
        ({"size": 128}, 186, 4.2),
    ],
)
def test_mobilenets_of_other_widths_and_sizes(chosen, macs, parameters):
    graph = zoo.get("mobilenet_v1")(**chosen)
    assert (round(graph.macs / 1e6), round(graph.parameters / 1e6, 1)) == (macs, parameters)


def test_conv_mobilenet_without_its_classifier_is_the_papers_figure():
    graph = zoo.get("conv_mobilenet")()
    assert round(macs_of(graph, "Conv") / 1e6) == 4866


def test_macs_of_googlenet_row_by_row():
    # table 1: input channels, map size, then #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
    rows = [
        (192, 28, 64, 96, 128, 16, 32, 32), (256, 28, 128, 128, 192, 32, 96, 64),
        (480, 14, 192, 96, 208, 16, 48, 64), (512, 14, 160, 112, 224, 24, 64, 64),
        (512, 14, 128, 128, 256, 24, 64, 64), (512, 14, 112, 144, 288, 32, 64, 64),
        (528, 14, 256, 160, 320, 32, 128, 128), (832, 7, 256, 160, 320, 32, 128, 128),
        (832, 7, 384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    macs = 64 * 112**2 * 7 * 7 * 3 + 64 * 56**2 * 64 + 192 * 56**2 * 9 * 64 + 1024 * 1000
    for channels, side, one, reduce3, three, reduce5, five, project in rows:
        macs += side**2 * (channels * (one + reduce3 + reduce5 + project) + 9 * reduce3 * three + 25 * reduce5 * five)
    assert zoo.get("googlenet")().macs == macs


def test_nasnet_joins_cells_to_the_penultimate_filters():
    graph = zoo.get("nasnet_a_mobile")()
    assert graph.nodes["head.pool"].outputs[0].shape == (1, 1056, 1, 1)
    assert round(graph.macs / 1e6) == 564


def test_maps_of_squeezenet_are_those_of_its_table():
    graph = zoo.get("squeezenet")()
    sizes = {"conv1.conv": 111, "conv1.max_pool": 55, "fire4.max_pool": 27, "fire8.max_pool": 13, "fire9.concat": 13}
    assert {name: graph.nodes[name].outputs[0].shape[2] for name in sizes} == sizes
    before = {"conv1": 14_208, "fire2": 11_920, "fire3": 12_432, "fire4": 45_344, "fire5": 49_440, "fire6": 104_880}
    before |= {"fire7": 111_024, "fire8": 188_992, "fire9": 197_184, "conv10": 513_000}  # table 1 of the paper
    for name, count in before.items():
        assert sum(node.parameters for node in graph.nodes.values() if node.block == name) == count


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("shufflenet", {"groups": 5}, "groups must be one of 1, 2, 3, 4, 8, not 5"),
        ("shufflenet", {"scale": 0.75}, "scale must be one of 0.25, 0.5, 1.0, 1.5, 2.0, not 0.75"),
        ("alexnet", {"groups": 7}, r"stage2.conv: .* 7 groups, which do not divide 96 channels into 256 filters"),
        ("alexnet", {"groups": 7}, r"groups that do: 1, 2, 4, 8, 16, 32; input"),
        (
            "vgg16",
            {"size": 16},
            r"^stage5.max_pool: .* larger than the padded map 1x1.*; the smallest .* is 32$",
        ),
        ("densenet121", {"size": 8}, r"transition\d.pool: .* larger than the padded map 1x1"),
        ("nasnet_a_mobile", {"penultimate": 24}, r"penultimate must be a multiple of 96, not 24"),
    ],
)
def test_what_cannot_be_built_says_where_and_why(name, chosen, message):
    with pytest.raises(CostModelError, match=message):
        zoo.get(name)(**chosen)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [(name, {}) for name in zoo.names()] + [("googlenet", {"auxiliary_heads": True}), ("alexnet", {"groups": 1})],
)
def test_the_smallest_size_that_is_named_is_the_smallest_that_works(name, chosen):
    try:
        zoo.get(name)(size=1, **chosen)
    except CostModelError as error:
        smallest = int(str(error).rpartition("the smallest size that works is ")[2])
    else:
        return
    zoo.get(name)(size=smallest, **chosen)
    with pytest.raises(CostModelError, match=f"the smallest size that works is {smallest}$"):
        zoo.get(name)(size=smallest - 1, **chosen)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_has_blocks_and_ends_in_one_result(name):
    graph: Graph = zoo.get(name)()
    assert len(graph.outputs) == 1
    assert all(node.block for node in graph.nodes.values() if node.inputs)
