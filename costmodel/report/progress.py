"""Long work -> a bar on the terminal's standard error, and nothing in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Tick(Protocol):
    """Says what is being done: one more of the total, or so many of so many where that is known only then."""

    def __call__(self, what: str, done: int | None = None, total: int | None = None) -> None:
        """Say it."""


@contextmanager
def progress(total: int | None = None) -> Iterator[Tick]:
    """A function to call ``total`` times, or with what is done and in all."""
    if not sys.stderr.isatty():
        yield lambda what, done=None, total=None: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def tick(what: str, done: int | None = None, total: int | None = None) -> None:
            bar.update(task, description=what, advance=1 if done is None else None, completed=done, total=total)

        yield tick
