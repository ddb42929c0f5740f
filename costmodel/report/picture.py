"""How pictures look and how they become bytes: the same input gives the same ones. Needs matplotlib."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any, Final

from costmodel.errors import CostModelError

try:
    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.figure import Figure
except ImportError as error:
    raise CostModelError(
        f"a picture needs matplotlib, the extra 'plot': pip install 'costmodel[plot]' ({error})"
    ) from None

METADATA: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Per format what would say when and by what it was written."""

STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "costmodel",
    "hatch.linewidth": 0.3,
    "text.parse_math": False,  # a name may have dollars in it
}
DPI: Final = 200
INK, DIM, GRID, SHADE = "#000000", "#595959", "#e4e4e4", "#f4f4f4"

WIDTH: Final = 520.0
"""Of a picture, in points: two columns of a paper."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Matplotlib as it comes, whatever the user's own settings, with :data:`STYLE`; a missing glyph is no warning."""
    usual: dict[Any, Any] = {
        name: value for name, value in rcParamsDefault.items() if not name.startswith(("backend", "date."))
    }
    with warnings.catch_warnings(), rc_context(usual | STYLE):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def render(figure: Figure, kind: str) -> bytes:
    """A picture's bytes; ``kind`` is a key of :data:`METADATA`."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format=kind, dpi=DPI, metadata=METADATA[kind])
    return out.getvalue()
