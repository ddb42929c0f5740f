"""A snapshot file -> a pytest assertion: the ``check_costs`` fixture, there wherever costmodel is installed.

def test_costs(check_costs):
    check_costs("costs.json", limits=["latency=0.2s"])
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def check_costs(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that fails the test with a table of what has changed since ``costmodel snapshot`` wrote a file.

    A relative path is looked for from the current folder and then from pytest's root folder. ``rtol`` and ``limits``
    are lists of what the command line's ``--rtol`` and ``--max`` take.
    """

    def check(file: str | Path, rtol: Sequence[str] = (), limits: Sequence[str] = ()) -> None:
        from costmodel import guard
        from costmodel.report.cells import cells
        from costmodel.report.text import table

        path = Path(file) if Path(file).exists() else request.config.rootpath / file
        changes = guard.check(path, rtol, limits)
        if len(changes):
            lines, _ = table(cells(changes), drop={})
            text = "\n".join("".join(span.text for span in line).rstrip() for line in lines)
            pytest.fail(f"{file}: {len(changes)} changes\n{text}", pytrace=False)

    return check
