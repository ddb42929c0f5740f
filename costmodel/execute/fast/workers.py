"""Jobs x threads -> done: the parts of one kernel, taken by whichever thread is free.

One set of threads does all parallel work, so that none waits for another library's: BLAS runs on the thread that calls
it, and compiled kernels and BLAS both work without Python's lock. A thread that wakes late finds its jobs done by
others and is not waited for: small kernels cost little, and a busy machine slows a run by no more than its share.
"""

from collections.abc import Callable, Sequence
from itertools import count
from threading import Lock, Thread
from typing import Any, Self

Job = Callable[[int], None]
"""A part of a kernel; it is given the number of the thread that it runs on, which has its own scratch memory."""


class Workers:
    """Threads that share jobs while entered; outside, jobs run on the caller's thread alone."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._helpers: list[tuple[Thread, Any]] = []
        self._task = _Task([])
        self._over = False

    def __enter__(self) -> Self:
        self._over = False
        for worker in range(1, self.threads):
            wake = Lock()
            wake.acquire()
            thread = Thread(target=self._help, args=(worker, wake), daemon=True)
            self._helpers.append((thread, wake))
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over, self._task = True, _Task([])
        for _, wake in self._helpers:
            if wake.locked():
                wake.release()
        for helper, _ in self._helpers:
            helper.join()
        self._helpers = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs, in any order, and return when the last is done."""
        if len(jobs) == 1 or not self._helpers:
            for job in jobs:
                job(0)
            return
        task = self._task = _Task(jobs)
        for _, wake in self._helpers[: len(jobs) - 1]:
            if wake.locked():  # a thread that has not woken up since the last time will see the new task
                wake.release()
        task.work(0)
        task.finished.acquire()
        if task.error:
            raise task.error

    def _help(self, worker: int, wake: Any) -> None:
        while True:
            wake.acquire()
            if self._over:
                return
            self._task.work(worker)


class _Task:
    """Jobs that threads take one by one; ``finished`` is released when the last is done."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._todo, self._done, self._count = iter(jobs), count(1), len(jobs)
        self.finished = Lock()
        self.finished.acquire()
        self.error: Exception | None = None

    def work(self, worker: int) -> None:
        """Take jobs until none is left."""
        for job in self._todo:  # Python's lock makes both steps of taking and counting whole
            try:
                job(worker)
            except Exception as error:  # raised again on the caller's thread
                self.error = error
            if next(self._done) == self._count:
                self.finished.release()
