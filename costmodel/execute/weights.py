"""Names x seed -> arrays: weights and inputs that are the same on every machine.

Philox is a counter: its raw 64-bit numbers follow from the key alone, so they depend neither on the machine nor on the
version of NumPy, as the random distributions may.
"""

import zlib
from math import prod, sqrt
from typing import Final

from costmodel.arrays import Array, np
from costmodel.errors import CostModelError
from costmodel.graph import Node, Shape, Tensor, Weight

UNIT_VARIANCE: Final = sqrt(3)  # half the width of a uniform distribution of variance 1

CHUNK: Final = 2**15
"""Values made at once: as many as a near cache holds."""


def uniform(key: str, seed: int, shape: Shape, low: float, high: float, dtype: str) -> Array:
    """Values between low and high, the same for the same key and seed."""
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise CostModelError(f"a seed is an integer from 0 to 2^64 - 1, not {seed!r}")
    numbers = np.random.Philox(key=np.array([seed, zlib.crc32(key.encode())], np.uint64))
    values = np.empty(prod(shape), dtype)
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        fractions = (numbers.random_raw(len(part)) >> np.uint64(11)) * 2.0**-53
        part[:] = low + (high - low) * fractions
    return values.reshape(shape)


def seeded_weights(name: str, node: Node, seed: int) -> dict[str, Array]:
    """A node's constants by name: kernels that keep a map's variance, norms that change scale and mean a little."""
    return {weight.name: seeded_weight(name, node, weight, seed) for weight in node.op.weights(*node.input_shapes)}


def seeded_weight(name: str, node: Node, weight: Weight, seed: int) -> Array:
    """One constant of a node, in the element type of the node's maps."""
    return uniform(f"{name}.{weight.name}", seed, weight.shape, *_range(weight), float_of(node.outputs[0]))


def float_of(tensor: Tensor) -> str:
    """A tensor's element type, of those that networks run in."""
    return {64: "float64", 32: "float32", 16: "float16"}.get(tensor.bits, "float32")


def _range(weight: Weight) -> tuple[float, float]:
    if weight.name == "weight":
        bound = UNIT_VARIANCE * sqrt(2 / prod(weight.shape[1:]))  # of what goes into one output, half is cut by a ReLU
        return -bound, bound
    if weight.name in {"gamma", "scale", "variance"}:
        return 0.5, 1.5
    return (0.1, 0.4) if weight.name == "slope" else (-0.2, 0.2)


def seeded_input(tensor: Tensor, number: int, seed: int) -> Array:
    """An input of mean 0 and variance 1."""
    dtype = str(getattr(tensor.node.op, "dtype", "float32"))
    return uniform(f"input {number}", seed, tensor.shape, -UNIT_VARIANCE, UNIT_VARIANCE, dtype)
