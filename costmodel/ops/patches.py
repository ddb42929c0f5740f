"""Map x window -> the elements under the window at every position; and values per channel -> beside a map."""

from costmodel.arrays import Array, np
from costmodel.graph import Shape, Window


def patches(x: Array, window: Window, positions: Shape, outside: float = 0.0) -> Array:
    """x[n, c, p*stride + k*dilation - pad] with axes n, c, p..., k...; ``outside`` stands where there is no x.

    x: N x C x spatial; the result has one axis more per spatial axis, and no memory of its own but the padding.
    """
    before = [pad for pad, _ in window.pads]
    sizes = x.shape[2:]
    needed = [(p - 1) * s + e for p, s, e in zip(positions, window.stride, window.extent, strict=True)]
    after = [max(0, need - size - pad) for need, size, pad in zip(needed, sizes, before, strict=True)]
    if any(before) or any(after):
        x = np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)], constant_values=outside)
    spatial = tuple(range(2, x.ndim))
    views = np.lib.stride_tricks.sliding_window_view(x, window.extent, axis=spatial)
    steps = [slice(0, p * s, s) for p, s in zip(positions, window.stride, strict=True)]
    taps = [slice(None, None, d) for d in window.dilation]
    return views[(slice(None), slice(None), *steps, *taps)]


def along_channels(values: Array, x: Array) -> Array:
    """One value per channel -> the same with the axes of an N x C x any map, to combine with it."""
    return values.reshape(-1, *(1 for _ in x.shape[2:]))
