"""Names x seed -> arrays: weights and inputs that are the same on every machine.

Philox is a counter: its raw 64-bit numbers follow from the key alone, so they depend neither on the machine nor on the
version of NumPy, as the random distributions may.
"""

import zlib
from collections.abc import Mapping
from math import prod, sqrt
from typing import Final

from costmodel.arrays import Array, np, numpy_type
from costmodel.errors import CostModelError
from costmodel.graph import Node, Shape, Tensor, Type, Weight

UNIT_VARIANCE: Final = sqrt(3)  # half the width of a uniform distribution of variance 1

CHUNK: Final = 2**15
"""Values made at once: as many as a near cache holds."""

SPANS: Final[Mapping[str, tuple[int, int]]] = {
    "bool": (0, 1), "int2": (-1, 1), "uint2": (0, 3), "int4": (-7, 7), "uint4": (0, 15), "int8": (-127, 127),
    "uint8": (0, 255),
    "int16": (-1000, 1000), "int32": (-1000, 1000), "int64": (0, 1),
    "uint16": (0, 1000), "uint32": (0, 1000), "uint64": (0, 1),
}  # fmt: skip
"""Element types of whole numbers -> what made values lie between; words are numbered, and there are at least two."""


def uniform(key: str, seed: int, shape: Shape, low: float, high: float, dtype: str) -> Array:
    """Values from low to high, the same for the same key and seed."""
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise CostModelError(f"a seed is an integer from 0 to 2^64 - 1, not {seed!r}")
    numbers = np.random.Philox(key=np.array([seed, zlib.crc32(key.encode())], np.uint64))
    values, whole = np.empty(prod(shape), dtype), dtype in SPANS
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        fractions = (numbers.random_raw(len(part)) >> np.uint64(11)) * 2.0**-53
        part[:] = np.floor(low + (high - low + 1) * fractions) if whole else low + (high - low) * fractions
    return values.reshape(shape)


def seeded_weights(name: str, node: Node, seed: int, network: str = "float32") -> dict[str, Array]:
    """A node's constants by name: kernels that keep a map's variance, norms that change scale and mean a little."""
    return {weight.name: seeded_weight(name, weight, seed, network) for weight in node.weights}


def seeded_weight(name: str, weight: Weight, seed: int, network: str = "float32") -> Array:
    """One constant of a node, in its own or the network's type; of what is stored the first values, or all again."""
    low, high = SPANS.get(weight.dtype or "") or _range(weight)
    key = weight.shared or f"{name}.{weight.name}"
    whole = uniform(key, seed, (weight.stored,), low, high, stored_type(weight.dtype, network))
    if weight.stored < weight.elements:
        return np.resize(whole, weight.shape)
    return whole[: weight.elements].reshape(weight.shape)


def stored_type(dtype: Type, network: str) -> str:
    """An element type, or the network's for None -> the NumPy type that holds its values."""
    return numpy_type(dtype or network)


def _range(weight: Weight) -> tuple[float, float]:
    if weight.name == "weight" and not weight.shared:  # what is shared is the same for all, whatever they call it
        bound = UNIT_VARIANCE * sqrt(2 / prod(weight.shape[1:]))  # of what goes into one output, half is cut by a ReLU
        return -bound, bound
    if weight.name in {"gamma", "variance"} or weight.name.endswith("scale"):
        return 0.5, 1.5
    return (0.1, 0.4) if weight.name == "slope" else (-0.2, 0.2)


def seeded_input(tensor: Tensor, number: int, seed: int, network: str = "float32") -> Array:
    """An input of mean 0 and variance 1, or of whole numbers."""
    low, high = SPANS.get(tensor.dtype or "", (-UNIT_VARIANCE, UNIT_VARIANCE))
    return uniform(f"input {number}", seed, tensor.shape, low, high, stored_type(tensor.dtype, network))
