"""Instructions x threads -> done: one compiled loop that all threads walk through together.

Each instruction is divided into parts, which whoever is free takes; nobody goes on before its last part is done. While
a run lasts, threads wait by looking, not by sleeping: to wake one takes longer than most kernels. A thread that comes
late finds its parts done by others: a busy machine slows a run by no more than its share.
"""

import os
from collections.abc import Sequence
from threading import Lock, Thread
from typing import Any, Final, Self
from weakref import finalize

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from costmodel.execute.fast.instructions import KERNEL, PARTS, PYTHON, Instruction, perform, table
from costmodel.execute.fast.vectors import INTERPRETED

Array = Any

compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")

APART: Final = 16
"""Counters from one instruction's to the next one's: each has cache lines of its own, first of parts taken ..."""

DONE: Final = 8
"""... and so much further of parts done."""

STOP, RELEASED = 0, 8
"""Before all these: a flag that a run has failed, so that nobody waits; and how many instructions may be begun."""

PATIENCE: Final = 1 << 10
"""Looks after which a waiting thread offers its core to another program."""

if INTERPRETED:

    def _now(counters: Array, index: int) -> int:
        return int(counters[index])

    def _raised(counters: Array, index: int, value: int) -> bool:
        counters[index] += 1
        return bool(counters[index] == value + 1)

else:

    @intrinsic
    def _now(typing: Any, counters: Any, index: Any) -> Any:
        """The value of a counter."""
        del typing

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

        return types.int64(counters, index), emit

    @intrinsic
    def _raised(typing: Any, counters: Any, index: Any, value: Any) -> Any:
        """Whether a counter had that value, and is one more now."""
        del typing, value

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            more = builder.add(arguments[2], context.get_constant(types.int64, 1))
            place = builder.gep(data, [arguments[1]])
            return builder.extract_value(builder.cmpxchg(place, arguments[2], more, "acq_rel", "acquire"), 1)

        return types.boolean(counters, index, types.int64), emit


if hasattr(os, "sched_yield") and not INTERPRETED:
    _rest = types.ExternalFunction("sched_yield", types.int32())
else:
    _rest = numba.njit(lambda: 0)


@compiled
def _take(counters: Array, index: int, limit: int) -> int:
    """Raise a counter that is below a limit by one -> its value before, or -1."""
    while True:
        value = _now(counters, index)
        if value >= limit:
            return -1
        if _raised(counters, index, value):
            return value


@compiled
def walk(numbers: Array, clamps: Array, counters: Array, run: int, worker: int, start: int, stop: int) -> None:
    """Take part in the instructions from start to stop, in the run of that number, counted from 1.

    Counters only ever rise, so that a thread that is a run late finds nothing to do, and nothing to wait for.
    """
    for n in range(start, stop):
        parts, place = numbers[n, PARTS], APART * (n + 1)
        goal = run * parts
        if not _wait(counters, RELEASED, (run - 1) * len(numbers) + n + 1):
            return
        while numbers[n, KERNEL] != PYTHON:
            number = _take(counters, place, goal)
            if number < 0:
                break
            perform(numbers[n], clamps[n], worker, number - goal + parts)
            _take(counters, place + DONE, goal)
        if not _wait(counters, place + DONE, goal):
            return


@compiled
def _wait(counters: Array, index: int, value: int) -> bool:
    """Until a counter has reached a value; false where the run has failed, of which nothing more may be done."""
    looks = 0
    while _now(counters, index) < value:
        if _now(counters, STOP):
            return False
        looks += 1
        if looks % PATIENCE == 0:
            _rest()
    return True


@compiled
def raise_to(counters: Array, index: int, value: int) -> None:
    """Let a counter reach a value."""
    while _take(counters, index, value) >= 0:
        pass


class Workers:
    """The threads that carry out a list of instructions, again and again."""

    def __init__(self, instructions: Sequence[Instruction], threads: int) -> None:
        self._numbers, self._clamps = table(instructions)
        self._calls: Final = [
            (n, call.kernel) for n, call in enumerate(instructions) if self._numbers[n, KERNEL] == PYTHON
        ]
        self._team: Final = _Team(self._numbers, self._clamps)
        self._own: Final = self._team.fresh()
        for worker in range(1, 1 if INTERPRETED else threads):
            wake = Lock()
            wake.acquire()
            self._team.wakes.append(wake)
            Thread(target=self._team.help, args=(worker, wake), daemon=True).start()
        finalize(self, self._team.end)

    def __enter__(self) -> Self:
        """Begin a run: all threads look for parts to take until it is over."""
        self._team.begin()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None:
            self._team.fail()

    def run(self, start: int, stop: int) -> None:
        """Carry out the instructions from start to stop, which all threads of the run take part in."""
        team = self._team
        raise_to(team.counters, RELEASED, (team.run - 1) * len(self._numbers) + stop)
        self._walk(team.counters, team.run, start, stop)

    def alone(self, start: int, stop: int) -> None:
        """The same outside of a run, on the caller's thread."""
        self._own[:] = 0
        self._own[RELEASED] = stop
        self._walk(self._own, 1, start, stop)

    def _walk(self, counters: Array, run: int, start: int, stop: int) -> None:
        for n, call in self._calls:
            if start <= n < stop:
                walk(self._numbers, self._clamps, counters, run, 0, start, n)
                call()
                raise_to(counters, APART * (n + 1) + DONE, run)
                start = n + 1
        walk(self._numbers, self._clamps, counters, run, 0, start, stop)


class _Team:
    """What the threads share; it does not know the workers, so that it ends with them."""

    def __init__(self, numbers: Array, clamps: Array) -> None:
        self.numbers, self.clamps = numbers, clamps
        self.wakes: list[Any] = []
        self.over = False
        self._renew()

    def fresh(self) -> Array:
        """Counters of which none has risen."""
        return np.zeros(APART * (len(self.numbers) + 2), np.int64)

    def _renew(self) -> None:
        self.counters, self.run = self.fresh(), 0

    def begin(self) -> None:
        self.run += 1
        for wake in self.wakes:
            if wake.locked():  # a thread that has not woken up since the last time will see the new run
                wake.release()

    def fail(self) -> None:
        self.counters[STOP] = 1
        self._renew()

    def end(self) -> None:
        self.over = True
        for wake in self.wakes:
            if wake.locked():
                wake.release()

    def help(self, worker: int, wake: Any) -> None:
        while True:
            wake.acquire()
            if self.over:
                return
            walk(self.numbers, self.clamps, self.counters, self.run, worker, 0, len(self.numbers))
