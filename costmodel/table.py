"""Columns declared once x their values -> a frozen, checked table that every stage and every report reads."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from operator import countOf
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from costmodel.errors import CostModelError, suggestion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INT64 = range(-(2**63), 2**63)


class Column(NamedTuple):
    """One declared column: what it is called, what it holds, and how it adds up.

    ``total`` says what a footer shows: the ``sum``, the ``max``, or nothing (``None``).
    """

    name: str
    dtype: type[int] | type[float] | type[str] | type[bool]
    unit: str
    meaning: str
    total: Literal["sum", "max"] | None = None


class Table:
    """Rows under declared columns, held column by column; integers are exact and fit int64."""

    __slots__ = ("_data", "columns")

    columns: tuple[Column, ...]
    _data: dict[str, tuple[Any, ...]]

    def __init__(self, columns: Sequence[Column], data: Mapping[str, Sequence[Any]]) -> None:
        self.columns = tuple(columns)
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or set(names) != data.keys():
            raise ValueError(f"columns {names} do not match the data's {list(data)}")
        self._data = {name: tuple(data[name]) for name in names}
        for column in self.columns:
            self._check(column, len(self))

    @classmethod
    def of(cls, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Self:
        """Declared columns x rows of values -> a table."""
        values = zip(*rows, strict=True) if rows else [()] * len(columns)
        return cls(columns, dict(zip([column.name for column in columns], values, strict=True)))

    def _check(self, column: Column, rows: int) -> None:
        values = self._data[column.name]
        if len(values) != rows:
            raise ValueError(f"column {column.name!r} has {len(values)} values, not {rows}")
        if countOf(map(type, values), column.dtype) != rows:
            wrong = next(value for value in values if type(value) is not column.dtype)
            raise TypeError(f"column {column.name!r} holds {column.dtype.__name__}, not {wrong!r}")
        if column.dtype is int:
            amounts = (*values, sum(values)) if column.total == "sum" else values
            if not _fit(amounts):
                value = next(value for value in (min(values), max(values), sum(values)) if value not in INT64)
                place = f" in {self.label(values.index(value))!r}" if value in values else " in total"
                raise CostModelError(f"{column.name} = {value}{place} does not fit a 64-bit integer")

    def label(self, row: int) -> str:
        """Row number -> the text of its first column."""
        return str(self._data[self.columns[0].name][row])

    def __len__(self) -> int:
        return len(self._data[self.columns[0].name]) if self.columns else 0

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        values = self._data.get(name)
        if values is None:
            raise CostModelError(f"no column {name!r}; {suggestion(name, self._data)}")
        return values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self.columns == other.columns and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self._data)})"

    def column(self, name: str) -> Column:
        """The declaration of a column."""
        for column in self.columns:
            if column.name == name:
                return column
        raise CostModelError(f"no column {name!r}; {suggestion(name, self._data)}")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as a dictionary in column order."""
        names = [column.name for column in self.columns]
        for values in zip(*self._data.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def tuples(self) -> list[tuple[Any, ...]]:
        """Each row as a tuple in column order."""
        return list(zip(*self._data.values(), strict=True))

    def data(self) -> dict[str, tuple[Any, ...]]:
        """The columns as a new dictionary, to build another table from."""
        return dict(self._data)

    def total(self, name: str) -> Any:
        """The column's footer: its sum (floats summed exactly, then rounded once), its maximum, or None."""
        values, column = self[name], self.column(name)
        if column.total == "sum":
            return math.fsum(values) if column.dtype is float else sum(values)
        if column.total == "max":
            return max(values, default=column.dtype(0))
        return None

    def extend(self, columns: Sequence[Column], data: Mapping[str, Sequence[Any]]) -> "Table":
        """This table with more columns on the right."""
        right = Table(columns, data)
        both = Table((), {})
        both.columns, both._data = (*self.columns, *columns), self._data | right._data  # both were checked already
        if len(both._data) != len(both.columns) or len(right) != len(self):
            raise ValueError(f"cannot put {right} beside {self}")
        return both

    def take(self, rows: Sequence[int]) -> "Table":
        """The given rows, in the given order."""
        return Table(self.columns, {name: [values[row] for row in rows] for name, values in self._data.items()})

    def select(self, names: Sequence[str]) -> "Table":
        """The named columns, in the given order."""
        return Table([self.column(name) for name in names], {name: self[name] for name in names})

    def group(self, name: str) -> "Table":
        """One row per value of column ``name``, in order of appearance: sums and maxima as the columns declare.

        A ``layers`` column counts the rows of each group; columns without a total are left out.
        """
        groups: dict[Any, list[int]] = {}
        for row, key in enumerate(self[name]):
            groups.setdefault(key, []).append(row)
        kept = [column for column in self.columns if column.total is not None and column.name != name]
        parts = [self.take(rows) for rows in groups.values()]
        data: dict[str, Sequence[Any]] = {name: list(groups), "layers": [len(rows) for rows in groups.values()]}
        data |= {column.name: [part.total(column.name) for part in parts] for column in kept}
        return Table((self.column(name), Column("layers", int, "", "layers in the group", "sum"), *kept), data)

    def array(self, name: str) -> "np.ndarray[Any, Any]":
        """The column as a NumPy array: int64, float64, bool or object."""
        import numpy as np

        column = self.column(name)
        dtype = {int: np.int64, float: np.float64, bool: np.bool_}.get(column.dtype, np.object_)
        return np.asarray(self[name], dtype=dtype)

    @property
    def frame(self) -> "pd.DataFrame":
        """The table as a pandas DataFrame, made when asked for."""
        import pandas as pd

        return pd.DataFrame({column.name: self.array(column.name) for column in self.columns})


def _fit(integers: Sequence[int]) -> bool:
    """Whether all fit int64; packing them is faster than looking for the smallest and the largest."""
    try:
        struct.pack(f"{len(integers)}q", *integers)
    except struct.error:
        return False
    return True
