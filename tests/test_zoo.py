"""Every registered architecture against what its source declares; HairNet against a formula of its own."""

import sys
from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest

import costmodel
from costmodel import zoo
from costmodel.errors import CostModelError, WiringError
from costmodel.graph import Graph
from costmodel.ops import Input, Linear
from costmodel.zoo import Architecture, architecture, scaled

every_network = pytest.mark.parametrize("name", zoo.names())


def agrees(declared, count):
    """Whether a count, rounded to as many decimals as a declared figure such as ``"2.4 M"`` shows, is that figure."""
    digits, _, prefix = declared.partition(" ")
    figure = Decimal(digits)
    scale = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[prefix]
    return (Decimal(count) / scale).quantize(figure) == figure


def test_a_figure_is_compared_at_its_own_precision():
    assert agrees("2.4 M", 2_449_999)
    assert not agrees("2.4 M", 2_451_000)
    assert not agrees("2.40 M", 2_431_192)
    assert agrees("0.301 G", 300_774_272)
    assert not agrees("0.301 G", 301_774_272)
    assert agrees("61 M", 60_965_224)
    assert agrees("60965224", 60_965_224)
    assert not agrees("60965224", 60_965_225)


# The whole registry.

UNDERIVABLE = {"mobilenet_v2_report", "mobilenet_v2_reduced"}
"""Networks whose source prints figures that do not follow from it; they have oracles of their own below."""


@every_network
def test_a_network_has_the_parameters_and_macs_its_source_declares(name):
    network = zoo.get(name)
    graph = network()
    assert network.params or network.macs or name in UNDERIVABLE, "no declared figure to compare with"
    if network.params:
        assert agrees(network.params, graph.parameters), (network.params, graph.parameters)
    if network.macs:
        assert agrees(network.macs, graph.macs), (network.macs, graph.macs)


@every_network
def test_every_parameter_has_a_default_that_can_be_given_as_text(name):
    network = zoo.get(name)
    assert {type(value) for value in network.defaults.values()} <= {int, float, bool}
    assert network(**{key: str(value) for key, value in network.defaults.items()}) == network()


@every_network
def test_a_network_says_what_it_is_and_where_it_is_from(name):
    network = zoo.get(name)
    assert network.name == name
    assert network.source
    assert len(network.summary) > len(name)


@every_network
def test_small_variants_are_smaller(name):
    network = zoo.get(name)
    whole = network()
    small = {"size": network.defaults.get("size", 0) // 2, "classes": 7, "width": 0.5}
    for parameter in small.keys() & network.defaults.keys():
        variant = network(**{parameter: small[parameter]})
        assert variant.name == f"{name}({parameter}={small[parameter]})"
        assert variant.macs < whole.macs
        assert variant.parameters < whole.parameters or (parameter == "size" and variant.parameters == whole.parameters)


@every_network
def test_a_network_can_be_replayed_for_a_batch(name):
    once = zoo.get(name)()
    many = once.replay(batch=3)
    assert (many.macs, many.parameters) == (3 * once.macs, once.parameters)
    assert costmodel.network(name, batch=3) == many
    assert costmodel.network(name, dtype="int8") == once.replay(dtype="int8")


def test_hairnet_is_registered():
    assert "hairnet" in zoo.names()
    assert zoo.names() == sorted(zoo.names())


# The MobileNetV2 variants of the report, from the rows of its tables 2 and 3: (expansion, channels, stride) per block.

TABLE_2 = [
    (1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), *[(6, 32, 1)] * 3, (6, 64, 2), *[(6, 64, 1)] * 3, (6, 96, 1),
    *[(6, 96, 1)] * 2, (6, 160, 2), *[(6, 160, 1)] * 2, (6, 320, 1),
]  # fmt: skip
TABLE_3 = [(6, 64, 1), *[(6, 64, 1)] * 3, (6, 96, 2), *[(6, 96, 1)] * 2, (6, 160, 1), *[(6, 160, 1)] * 2]


def inverted_residuals(blocks, size, head, classes):
    """Parameters and MACs, block by block: weights, and gamma and beta of every batch norm."""
    side, channels = size // 2, 32
    parameters, macs = 27 * 32 + 2 * 32, side**2 * 27 * 32
    for expansion, filters, stride in blocks:
        wide = expansion * channels
        if expansion > 1:
            parameters, macs = parameters + channels * wide + 2 * wide, macs + side**2 * channels * wide
        side //= stride
        parameters += 9 * wide + 2 * wide + wide * filters + 2 * filters
        macs += side**2 * (9 * wide + wide * filters)
        channels = filters
    parameters += channels * head + 2 * head + head * classes + classes
    return parameters, macs + side**2 * channels * head + head * classes


@pytest.mark.parametrize(
    ("name", "blocks", "size", "head", "classes"),
    [("mobilenet_v2_report", TABLE_2, 224, 1280, 1000), ("mobilenet_v2_reduced", TABLE_3, 32, 256, 10)],
)
def test_the_reports_variants_have_the_blocks_of_its_tables(name, blocks, size, head, classes):
    graph = zoo.get(name)()
    assert (graph.parameters, graph.macs) == inverted_residuals(blocks, size, head, classes)
    depthwise = [node.block for node in graph.nodes.values() if node.name == "dw"]
    assert len(depthwise) == len(blocks)
    # a shortcut where stride and channels allow it
    rows = list(zip(blocks, [32, *(channels for _, channels, _ in blocks)], strict=False))
    shortcuts = sum(stride == 1 and channels == before for (_, channels, stride), before in rows)
    assert [node.op.kind for node in graph.nodes.values()].count("Add") == shortcuts


# HairNet.

# Channels in and out of each depthwise-separable block; None is the number of classes.
BLOCKS = [
    [(32, 64), (64, 64)],
    [(64, 128), (128, 128), (128, 128)],
    [(128, 256), (256, 256), (256, 256)],
    [(256, 512), (512, 512), (512, 512)],
    [(512, None), (None, None)],
]


def hairnet_parameters(classes, width=1.0):
    def c(channels):
        return classes if channels is None else max(1, round(channels * width))

    stem = 3 * 3 * 3 * c(32) + 2 * c(32)  # 3x3 on three colours; gamma and beta
    depthwise = sum(9 * c(a) + 2 * c(a) for stage in BLOCKS for a, _ in stage)
    pointwise = sum(c(a) * c(b) + 2 * c(b) for stage in BLOCKS for a, b in stage)
    return stem + depthwise + pointwise


def hairnet_macs(classes, size):
    macs = size**2 * 32 * 27  # then a pool in front of every stage halves the side
    for halvings, stage in enumerate(BLOCKS, start=1):
        pixels = (size // 2**halvings) ** 2
        macs += sum(pixels * (9 * (a or classes) + (a or classes) * (b or classes)) for a, b in stage)
    return macs


@pytest.mark.parametrize("classes", [1000, 2, 1])
@pytest.mark.parametrize("width", [1.0, 0.5, 0.75, 2.0, 0.001])
def test_hairnets_parameters_follow_its_formula(classes, width):
    assert zoo.get("hairnet")(classes=classes, width=width, size=32).parameters == hairnet_parameters(classes, width)


@pytest.mark.parametrize(("classes", "size"), [(1000, 224), (10, 192), (3, 33)])
def test_hairnets_macs_follow_its_formula(classes, size):
    assert zoo.get("hairnet")(classes=classes, size=size).macs == hairnet_macs(classes, size)


@pytest.mark.parametrize("classes", [1000, 5])
def test_hairnets_dense_head_adds_a_square_matrix_and_a_bias(classes):
    bare, dense = (zoo.get("hairnet")(classes=classes, dense_head=head) for head in (False, True))
    assert dense.parameters - bare.parameters == classes * classes + classes
    assert dense.macs - bare.macs == classes * classes
    assert [tensor.shape for tensor in (*bare.outputs, *dense.outputs)] == [(1, classes, 1, 1), (1, classes)]


def test_hairnet_has_the_layers_of_its_table():
    graph = zoo.get("hairnet")()
    kinds = [node.op.kind for node in graph.nodes.values()]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    # A stem and 13 blocks of two convolutions, each with norm and activation; a pool behind all stages but the last.
    assert counts == dict.fromkeys(["Conv", "BatchNorm", "Relu"], 1 + 2 * 13) | {
        "Input": 1,
        "MaxPool": 5,
        "GlobalAveragePool": 1,
        "Softmax": 1,
    }
    assert [graph.nodes[f"stage{n}.0.dwise_conv"].outputs[0].shape for n in range(1, 6)] == [
        (1, 32, 112, 112),
        (1, 64, 56, 56),
        (1, 128, 28, 28),
        (1, 256, 14, 14),
        (1, 512, 7, 7),
    ]


def test_a_size_that_is_too_small_names_the_layer_that_fails():
    assert zoo.get("hairnet")(size=32).outputs[0].shape == (1, 1000, 1, 1)
    with pytest.raises(WiringError, match=r"^stage4\.max_pool: .*2x2 is larger than the padded map 1x1"):
        zoo.get("hairnet")(size=31)


# Asking for networks.


def test_a_changed_parameter_shows_in_the_name():
    network = zoo.get("hairnet")
    assert network().name == "hairnet"
    assert network(size=224, width=1).name == "hairnet"
    assert network(size=64, dense_head=True).name == "hairnet(size=64, dense_head=True)"


def test_text_is_read_as_the_defaults_type():
    network = zoo.get("hairnet")
    assert network(size="64", classes=" 10", width="0.5", dense_head="TRUE") == network(
        size=64, classes=10, width=0.5, dense_head=True
    )
    assert network(dense_head="false") == network()


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (
            {"sise": 3},
            "network 'hairnet' has no parameter 'sise'; did you mean 'size'? known: classes, dense_head, size",
        ),
        ({"size": 0}, "network 'hairnet': size must be a positive integer, not 0"),
        ({"size": -224}, "size must be a positive integer, not -224"),
        ({"size": 224.0}, "size must be a positive integer, not 224.0"),
        ({"size": True}, "size must be a positive integer, not True"),
        ({"size": None}, "size must be a positive integer, not None"),
        ({"size": "224.0"}, "size must be a positive integer, not '224.0'"),
        ({"size": "-1"}, "size must be a positive integer, not '-1'"),
        ({"size": "big"}, "size must be a positive integer, not 'big'"),
        ({"size": ""}, "size must be a positive integer, not ''"),
        ({"size": "9" * 100_000}, "size must be a positive integer, not '999"),
        ({"classes": [10]}, "classes must be a positive integer, not [10]"),
        ({"width": 0}, "width must be a positive number, not 0"),
        ({"width": -0.5}, "width must be a positive number, not -0.5"),
        ({"width": float("nan")}, "width must be a positive number, not nan"),
        ({"width": float("inf")}, "width must be a positive number, not inf"),
        ({"width": "nan"}, "width must be a positive number, not 'nan'"),
        ({"width": "1e999"}, "width must be a positive number, not '1e999'"),
        ({"width": "wide"}, "width must be a positive number, not 'wide'"),
        ({"width": 10**400}, "width must be a positive number, not 1000"),
        ({"width": None}, "width must be a positive number, not None"),
        ({"width": [0.5]}, "width must be a positive number, not [0.5]"),
        ({"width": True}, "width must be a positive number, not True"),
        ({"width": 1e307}, "32 channels times a width of 1e+307 is not a number of channels"),
        ({"dense_head": 1}, "dense_head must be true or false, not 1"),
        ({"dense_head": "yes"}, "dense_head must be true or false, not 'yes'"),
        ({"dense_head": None}, "dense_head must be true or false, not None"),
    ],
    ids=lambda value: "-".join(f"{key}-{value[key]!r:.12}" for key in value) if isinstance(value, dict) else "",
)
def test_a_wrong_parameter_is_refused(parameters, problem):
    with pytest.raises(CostModelError) as error:
        zoo.get("hairnet")(**parameters)
    assert problem in str(error.value)


def test_an_unknown_network_is_refused_with_a_suggestion():
    with pytest.raises(CostModelError, match=r"no network 'hairnt'; did you mean 'hairnet'\? known: .*hairnet"):
        zoo.get("hairnt")
    with pytest.raises(CostModelError, match="no network 'hairnt'"):
        costmodel.network("hairnt")


# Registering networks.


def two_words(features: int = 4, share: float = 0.5):
    """Two words: a layer."""
    return Linear(scaled(features, share))(Input((1, 3))())


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own."""
    monkeypatch.setattr("costmodel.zoo._REGISTRY", {})


def test_a_builder_is_registered_under_its_name(registry):
    made = architecture(source="here", params="8", macs="6")(two_words)
    assert made == Architecture("two_words", two_words, "8", "6", "here")
    assert made.defaults == {"features": 4, "share": 0.5}
    assert made.summary == "Two words: a layer."
    assert zoo.get("two_words") is made
    assert zoo.names() == ["two_words"]
    assert isinstance(made(), Graph)
    assert made(features=6).outputs[0].shape == (1, 3)


def test_asking_for_a_network_loads_it(registry, monkeypatch):
    monkeypatch.delitem(sys.modules, "costmodel.architectures.hairnet")
    assert zoo.get("hairnet").params == "2.4 M"


def test_a_registered_network_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        zoo.get("hairnet").params = "9.9 M"


@pytest.mark.parametrize("spelling", ["two-words", "two_words", "Two-Words", "TWO_WORDS"])
def test_a_dash_is_an_underscore(registry, spelling):
    made = architecture(source="here")(two_words)
    assert zoo.get(spelling) is made


def test_registering_twice_is_refused(registry):
    made = architecture(source="here")(two_words)
    with pytest.raises(TypeError, match=f"architecture 'two_words' is registered already, by {__name__}"):
        architecture(source="there")(two_words)
    assert zoo.get("two_words") is made


def test_a_parameter_without_a_usable_default_is_refused(registry):
    def needy(size):
        return Input((1, size))()

    def wordy(kind="wide"):
        return Input((1, len(kind)))()

    def hidden(*, size=3):
        return Input((1, size))()

    for builder in (needy, wordy, hidden):
        with pytest.raises(TypeError, match="every parameter needs a default that is an int, a float or a bool"):
            architecture(source="nowhere")(builder)
        assert builder.__name__ not in zoo.names()


@pytest.mark.parametrize(
    ("channels", "width", "count"), [(32, 1.0, 32), (32, 0.5, 16), (3, 0.75, 2), (32, 0.001, 1), (32, 1.4, 45)]
)
def test_width_scales_channels_to_a_whole_number(channels, width, count):
    assert scaled(channels, width) == count


def test_no_network_is_built_deeper_than_any_is():
    assert len(zoo.get("mixer_b_16")(depth=13).nodes) > len(zoo.get("mixer_b_16")().nodes)
    with pytest.raises(CostModelError, match=r"network 'vit_b_16': depth must be at most 1024, not '1000000000'"):
        zoo.get("vit_b_16")(depth="1000000000")
