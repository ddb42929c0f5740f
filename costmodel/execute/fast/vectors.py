"""What compiled kernels need beyond numba's language: tiles of a matrix product in registers, and memory by address.

The innermost loop of a product is written in LLVM's vectors, so that its sums stay in registers: a tile is ROWS filters
by VECTORS * LANES positions. Interpreted (NUMBA_DISABLE_JIT), each function is the same in plain NumPy.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Array = Any

INTERPRETED: Final = bool(numba.config.DISABLE_JIT)

FEATURES: Final = {} if INTERPRETED else binding.get_host_cpu_features()
LANES, ROWS = (16, 8) if FEATURES.get("avx512f") else (8, 4) if FEATURES.get("avx2") else (4, 4)
"""Numbers in a vector; filters in a tile, so that a tile's sums, vectors and a factor fit into the registers."""

VECTORS: Final = 3
WIDTH: Final = VECTORS * LANES
"""Positions in a tile."""

CHAINS: Final = 4
"""Sums that a column of filters is added up in, so that no addition waits for the one before."""

BYTES: Final = 4
"""Of a float32."""

_INTEGER: Final = ir.IntType(64)
_FLOAT: Final = ir.FloatType()
_ARGUMENTS: Final = (*[types.int64] * 9, types.float32, types.float32)


def _number(value: int) -> Any:
    return ir.Constant(_INTEGER, value)


class _Code:
    """Shorthand for LLVM instructions on vectors of so many numbers."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.kind = ir.VectorType(_FLOAT, lanes)

    def pointer(self, address: Any) -> Any:
        return self.builder.inttoptr(address, _FLOAT.as_pointer())

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """The address so many numbers on; an offset is a number, or a pair to be multiplied."""
        for offset in offsets:
            step = self.builder.mul(*offset) if isinstance(offset, tuple) else offset
            pointer = self.builder.gep(pointer, [step])
        return pointer

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, self.kind.as_pointer()), align=4)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.kind.as_pointer()), align=4)

    def splat(self, value: Any) -> Any:
        """The number in every lane."""
        nothing, first = ir.Constant(self.kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(self.builder.insert_element(nothing, value, first), nothing, lanes)

    def zero(self) -> Any:
        return cgutils.alloca_once_value(self.builder, ir.Constant(self.kind, [0.0] * self.lanes))

    def accumulate(self, total: Any, a: Any, b: Any) -> None:
        """Total += a * b, rounded once."""
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        name = f"llvm.fma.v{self.lanes}f32"
        fma = cgutils.get_or_insert_function(self.builder.module, kind, name)
        self.builder.store(self.builder.call(fma, [a, b, self.builder.load(total)]), total)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        for limit, beyond in ((low, "<"), (high, ">")):
            value = self.builder.select(self.builder.fcmp_ordered(beyond, value, limit), limit, value)
        return value


def _tile(vectors: int) -> Any:
    """The compiled tile that is so many vectors wide."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        w, x, x_pitch, depth, y, y_pitch, bias, other, rows, low, high = arguments
        code = _Code(builder, LANES)
        w, x, y_at, bias, beside = map(code.pointer, (w, x, y, bias, other))
        sums = [[code.zero() for _ in range(vectors)] for _ in range(ROWS)]
        with cgutils.for_range(builder, depth) as loop:
            line = code.at(x, (loop.index, x_pitch))
            across = [code.load(code.at(line, _number(v * LANES))) for v in range(vectors)]
            factors = code.at(w, (loop.index, _number(ROWS)))
            for r in range(ROWS):
                factor = code.splat(builder.load(code.at(factors, _number(r))))
                for v in range(vectors):
                    code.accumulate(sums[r][v], factor, across[v])
        low, high = code.splat(low), code.splat(high)
        added = builder.icmp_signed("!=", other, _number(0))
        for r in range(ROWS):
            with builder.if_then(builder.icmp_signed("<", _number(r), rows)):
                shift = code.splat(builder.load(code.at(bias, _number(r))))
                for v in range(vectors):
                    total = sums[r][v]
                    builder.store(builder.fadd(builder.load(total), shift), total)
                    place = (_number(r), y_pitch), _number(v * LANES)
                    with builder.if_then(added):
                        builder.store(builder.fadd(builder.load(total), code.load(code.at(beside, *place))), total)
                    code.store(code.clamp(builder.load(total), low, high), code.at(y_at, *place))
        return context.get_dummy_value()

    return _intrinsic(emit, vectors * LANES)


def _column() -> Any:
    """The compiled column of filters: one position, ROWS filters in the lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        w, x, x_pitch, depth, y, y_pitch, bias, other, rows, low, high = arguments
        code = _Code(builder, ROWS)
        w, x, y_at, bias, beside = map(code.pointer, (w, x, y, bias, other))
        sums = [code.zero() for _ in range(CHAINS)]

        def product(k: Any, total: Any) -> None:
            factor = code.splat(builder.load(code.at(x, (k, x_pitch))))
            code.accumulate(total, factor, code.load(code.at(w, (k, _number(ROWS)))))

        whole = builder.udiv(depth, _number(CHAINS))
        with cgutils.for_range(builder, whole) as loop:
            for chain, total in enumerate(sums):
                product(builder.add(builder.mul(loop.index, _number(CHAINS)), _number(chain)), total)
        done = builder.mul(whole, _number(CHAINS))
        with cgutils.for_range(builder, builder.sub(depth, done)) as loop:
            product(builder.add(done, loop.index), sums[0])
        total = code.load(bias)
        for part in sums:
            total = builder.fadd(total, builder.load(part))
        added = builder.icmp_signed("!=", other, _number(0))
        for r in range(ROWS):
            with builder.if_then(builder.icmp_signed("<", _number(r), rows)):
                value = cgutils.alloca_once_value(
                    builder, builder.extract_element(total, ir.Constant(ir.IntType(32), r))
                )
                place = (_number(r), y_pitch)
                with builder.if_then(added):
                    builder.store(builder.fadd(builder.load(value), builder.load(code.at(beside, place))), value)
                builder.store(code.clamp(builder.load(value), low, high), code.at(y_at, place))
        return context.get_dummy_value()

    return _intrinsic(emit, 1)


def _intrinsic(emit: Callable[..., Any], width: int) -> Any:
    """A function of addresses that compiled code can call: y[r] = clamp(bias[r] + w[:, r] . x + other[r]), r < rows.

    w: depth x ROWS; x: depth rows of ``width`` positions that lie ``x_pitch`` apart; y and other: rows of as many that
    lie ``y_pitch`` apart; bias: ROWS; there is no other where its address is 0.
    """

    def plain(
        w: int, x: int, x_pitch: int, depth: int, y: int, y_pitch: int, bias: int, other: int, rows: int, low: float,
        high: float,
    ) -> None:  # fmt: skip
        def lines(address: int, count: int, pitch: int) -> Array:
            return np.lib.stride_tricks.as_strided(
                floats(address, (count - 1) * pitch + width), (count, width), (4 * pitch, 4)
            )

        rows = min(rows, ROWS)
        total = floats(w, depth * ROWS).reshape(depth, ROWS).T @ lines(x, depth, x_pitch)
        total = (total + floats(bias, ROWS)[:, None])[:rows]
        if other:
            total += lines(other, rows, y_pitch)
        lines(y, rows, y_pitch)[:] = np.clip(total, low, high)

    def compiled(typing: Any, w, x, x_pitch, depth, y, y_pitch, bias, other, rows, low, high):  # type: ignore[no-untyped-def]
        del typing, w, x, x_pitch, depth, y, y_pitch, bias, other, rows, low, high
        return types.void(*_ARGUMENTS), emit

    return plain if INTERPRETED else intrinsic(compiled)


tile3, tile2, tile1, column = _tile(3), _tile(2), _tile(1), _column()


# Memory by its address.


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    del typing

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(address), emit


def _floats(address: int, count: int) -> Array:
    """So many numbers from an address on."""
    return numba.carray(_pointer(address), count)


def _plain_floats(address: int, count: int) -> Array:
    if not any(start <= address and address + BYTES * count <= stop for start, stop in _known):
        raise IndexError(f"{count} numbers from {address} on are no part of an array")
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(int(address)))


def address(array: Array) -> int:
    """Where an array of float32 without gaps begins."""
    assert array.dtype == np.float32 and array.flags.c_contiguous  # noqa: S101, PT018 - else wrong numbers
    start = int(array.ctypes.data)
    if INTERPRETED:
        _known.add((start, start + array.nbytes))
    return start


_known: Final[set[tuple[int, int]]] = set()
"""Where the arrays are whose address was asked for: interpreted, nothing else is touched."""

floats: Any = _plain_floats if INTERPRETED else numba.njit(_floats)
