"""Run work that hostile input can crash, hang or bloat: in processes with bounds, and one item pays.

Every item of a bundle is worked on in a forked process. One that takes too long, asks for too much memory
or takes its process down is answered by a ``Failure``; the rest of its bundle goes on in a fresh process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

# Forked, not spawned: a new process costs milliseconds and finds the code loaded.
_FORK = multiprocessing.get_context("fork")
_POLL_S = 0.2
# A process may die through no fault of its item, of memory that another one took.
_MAX_ATTEMPTS = 2
_PR_SET_PDEATHSIG = 1

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands for the result of an item that could not be worked on.

    Attributes:
        kind: ``time`` or ``memory`` where its bound was passed, ``crash`` where the process died of it.
    """

    kind: Literal["time", "memory", "crash"]


@dataclass(slots=True)
class _Task(Generic[ItemT]):
    """A part of a bundle: its number, the places of the items in it, the items, and how often it was tried."""

    bundle: int
    places: list[int]
    items: list[ItemT]
    attempts: int = 0


class _Pulse:
    """Shared between a process and its parent: which item is worked on, and when something last happened."""

    def __init__(self) -> None:
        self._values = _FORK.RawArray("d", 2)

    def beat(self, item: int | None = None) -> None:
        # The time first: an item is never taken for older than it is.
        self._values[1] = time.monotonic()
        if item is not None:
            self._values[0] = item

    @property
    def item(self) -> int:
        return int(self._values[0])

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._values[1]


# Of the process that this module runs in; none in the parent.
_pulse: _Pulse | None = None


def keep_alive() -> None:
    """Say from within a long item that it goes on: its time starts anew."""
    if _pulse is not None:
        _pulse.beat()


def run(
    work: Callable[[ItemT], ResultT],
    bundles: Iterable[Sequence[ItemT]],
    *,
    num_workers: int,
    timeout_s: float,
    memory_bytes: int,
) -> Iterator[tuple[int, list[ResultT | Failure]]]:
    """Work on bundles of items in processes of their own, within bounds on each item.

    Args:
        work: what is done with an item; it need not be picklable, but items and results must.
        bundles: items that one process works on in their order.
        num_workers: processes at a time.
        timeout_s: wall-clock time from one item, or ``keep_alive``, to the next.
        memory_bytes: address space that a process, or one that it starts, may take beyond what it begins with.

    Yields:
        Number of a bundle and the results of its items, as bundles are finished.

    Raises:
        Exception: whatever ``work`` raises, but for ``MemoryError``.
    """
    crew = _Crew(work, num_workers, timeout_s, memory_bytes)
    try:
        yield from crew.run([list(bundle) for bundle in bundles])
    finally:
        crew.dismiss()


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    pulse: _Pulse
    task: _Task[Any] | None = None

    def kill(self) -> None:
        """End the process and all that it started."""
        for end in (os.killpg, os.kill):
            try:
                end(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.join()
        self.connection.close()


@dataclass(slots=True)
class _Crew:
    """The processes that work, and what is still to be done."""

    work: Callable[[Any], Any]
    num_workers: int
    timeout_s: float
    memory_bytes: int
    workers: list[_Worker] = field(default_factory=list)
    waiting: deque[_Task[Any]] = field(default_factory=deque)

    def run(self, bundles: list[list[Any]]) -> Iterator[tuple[int, list[Any]]]:
        self.waiting.extend(_Task(n, list(range(len(items))), items) for n, items in enumerate(bundles))
        results: list[dict[int, Any]] = [{} for _ in bundles]
        while self.waiting or any(worker.task for worker in self.workers):
            self._hand_out()
            for bundle, found in self._collect():
                results[bundle] |= found
                if len(results[bundle]) == len(bundles[bundle]):
                    yield bundle, [results[bundle][place] for place in range(len(bundles[bundle]))]
                    results[bundle] = {}

    def dismiss(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def _hand_out(self) -> None:
        idle = [worker for worker in self.workers if worker.task is None]
        while self.waiting and (idle or len(self.workers) < self.num_workers):
            worker = idle.pop() if idle else self._hire()
            worker.task = self.waiting.popleft()
            worker.pulse.beat(0)
            try:
                worker.connection.send(worker.task.items)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it is dead, which is noticed when its answer is waited for

    def _hire(self) -> _Worker:
        ours, theirs = _FORK.Pipe()
        pulse = _Pulse()
        inherited = [worker.connection for worker in self.workers] + [ours]
        arguments = (self.work, theirs, pulse, self.memory_bytes, os.getpid(), inherited)
        process = _FORK.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours, pulse)
        self.workers.append(worker)
        return worker

    def _collect(self) -> Iterator[tuple[int, dict[int, Any]]]:
        busy = [worker for worker in self.workers if worker.task]
        ready = wait([worker.connection for worker in busy], timeout=_POLL_S)
        for worker in busy:
            if worker.connection in ready:
                yield self._receive(worker)
            elif worker.pulse.age_s > self.timeout_s:
                worker.kill()
                # What was finished between the look and the end is not to blame.
                yield self._replace(worker, "time" if worker.pulse.age_s > self.timeout_s else None)

    def _receive(self, worker: _Worker) -> tuple[int, dict[int, Any]]:
        task = worker.task
        assert task is not None
        try:
            is_done, answer = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(_POLL_S)  # its own signal tells more than ours
            worker.kill()
            # Nobody here sends this signal but the system, to the process that takes most memory.
            kind: Literal["memory", "crash"] = "memory" if worker.process.exitcode == -signal.SIGKILL else "crash"
            return self._replace(worker, kind if task.attempts + 1 >= _MAX_ATTEMPTS else None)
        if not is_done:
            raise answer
        worker.task = None
        return task.bundle, dict(zip(task.places, answer, strict=True))

    def _replace(self, worker: _Worker, kind: Literal["time", "memory", "crash"] | None) -> tuple[int, dict[int, Any]]:
        """Let a dead worker's task go on without the item it died of, or try that one again alone."""
        task = worker.task
        assert task is not None
        self.workers.remove(worker)
        stop = worker.pulse.item
        again = 0 if kind else 1
        parts = ((0, stop, 0), (stop, stop + again, task.attempts + 1), (stop + 1, len(task.items), 0))
        rest = [_Task(task.bundle, task.places[a:b], task.items[a:b], attempts) for a, b, attempts in parts if b > a]
        self.waiting.extendleft(reversed(rest))
        return task.bundle, {task.places[stop]: Failure(kind)} if kind else {}


def _serve(
    work: Callable[[Any], Any],
    connection: Connection,
    pulse: _Pulse,
    memory_bytes: int,
    parent: int,
    inherited: list[Connection],
) -> None:
    """Answer bundles until the parent ends."""
    global _pulse
    _pulse = pulse
    for other in inherited:
        other.close()
    end_with_parent(parent)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    _bound_memory(memory_bytes)
    while True:
        try:
            items = connection.recv()
        except EOFError:
            return
        answer: tuple[bool, Any]
        try:
            answer = (True, [_attempt(work, item, n, pulse) for n, item in enumerate(items)])
        except Exception as error:  # noqa: BLE001 - it is raised where the results are waited for
            answer = (False, error)
        connection.send(answer)


def _attempt(work: Callable[[Any], Any], item: Any, number: int, pulse: _Pulse) -> Any:
    pulse.beat(number)
    try:
        return work(item)
    except MemoryError:
        return Failure("memory")
    except Exception:
        raise
    except BaseException:  # noqa: BLE001 - so libraries written in Rust say that they crashed
        return Failure("crash")


def end_with_parent(parent: int) -> None:
    """Ask the system to end this process with its parent, however that one ends."""
    if hasattr(library := ctypes.CDLL(None), "prctl"):
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _bound_memory(num_bytes: int) -> None:
    try:
        num_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return  # no Linux: only time is bounded
    limit = num_pages * resource.getpagesize() + num_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
