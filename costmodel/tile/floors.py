"""A loop nest x a memory size -> the bytes that no schedule can do without.

Two floors hold for a layer whose operand is in the external memory before it and whose results are there after it. The
compulsory traffic is every byte once. The other follows from the size of the memory:

    traffic >= 2 * products / sqrt(sharing * size) - 2 * size        [elements]

Why: call a phase a part of the schedule in which 2 * size elements are read; with the ``size`` that were there, at most
3 * size elements of operand, kernel and partial sums take part in it. A matrix product of ``a``, ``b`` and ``c``
elements of the three has at most sqrt(a * b * c) products (Loomis and Whitney 1949), and a convolution, unrolled, has
each element of its operand at most ``sharing`` times, so a phase does at most sqrt(sharing) * size^1.5 products, and
every full phase reads 2 * size elements. A partial sum that begins in the memory counts as read here; there is one for
each result, and each result is written, so that reads and writes together are no fewer.

Source: Hong and Kung 1981 for phases of pebbling with red and blue pebbles. That only reads are counted, and that a
phase reads another amount than the memory holds, is from Smith, Lowery, Langou and van de Geijn, "A Tight I/O Lower
Bound for Matrix Multiplication", arXiv:1702.02017, whose leading term for square matrices, 2 n^3 / sqrt(size), this is;
what is taken off it is the one phase that need not be full. Chen, Han and Wang, "Communication Lower Bound in
Convolution Accelerators", HPCA 2020, arXiv:1911.05662, unroll convolutions in the same way; the argument above does not
rest on theirs. Products with padding need no operand and are left out; a result has one accumulator, as wide as itself;
the narrowest of the elements counts for all.
"""

from math import isqrt

from costmodel.tile.nest import Nest, in_bytes


def pebbling(nest: Nest, room: int) -> int:
    """The least bytes read and written with ``room`` bits of memory, for the products alone; 0 where it says nothing.

    Groups share nothing; one phase does most if it stays with one group, so they count together.
    """
    width = min(nest.bits)
    if not (nest.kernel and width and room >= width and nest.products):  # without a width, the kernel is there anyway
        return 0
    size, products = room // width, nest.groups * nest.products
    least = isqrt(4 * products * products // (nest.sharing * size)) - 2 * size
    return in_bytes(max(least, 0) * width)
