"""``python -m costmodel`` and ``costmodel`` are the command line."""

import gc
from typing import Final

OBJECTS: Final = 100_000
"""New objects until Python looks for cycles among them: a command makes many that stay, and few cycles."""


def run() -> None:
    """Run it; interrupted, it ends quietly, also while it is imported."""
    gc.set_threshold(OBJECTS, 50, 100)
    try:
        from costmodel.cli import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
