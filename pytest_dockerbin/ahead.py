"""Does what will be asked for in the background, before anybody asks."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from pytest_dockerbin.surroundings import Surroundings, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATIENCE = 10.0  # seconds for what runs to end when it is stopped; a docker client gets 3


class Ahead:
    """Runs tasks in threads of its own, in the order in which they were given.

    Threads, not processes: they start in no time and know what this process knows, and what they
    do is waiting for docker. There are none before the first task and none after the last, since
    a process that forks should not have any.

    Args:
        width: how many tasks run at once.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, Callable[[], object]]] = deque()
        self._known: set[str] = set()
        self._done: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._working = 0  # threads that will still look for a task
        self.stopped = False

    def start(
        self, tasks: Iterable[tuple[str, Callable[[], object]]], *, one_by_one: bool = False
    ) -> None:
        """Begin with tasks: each a name, and a function that keeps its own result.

        What the function raises is nobody's to see: who asks for the result does the work anew.
        """
        surroundings = Surroundings.now()
        with self._changed:
            for name, task in tasks:
                if name not in self._known:
                    self._known.add(name)
                    self._waiting.append((name, task))
            width = 1 if one_by_one else self._width
            # a thread that works already takes of these too, when it is done with its task
            for _ in range(min(width - self._working, len(self._waiting))):
                self._working += 1
                # a daemon: if this process has to end, it does
                thread = threading.Thread(target=self._work, args=(surroundings,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def is_pending(self, name: str) -> bool:
        """Tell whether a task was given and is not yet done."""
        return name in self._known and name not in self._done

    def wait(self, names: Iterable[str], seconds: float) -> bool:
        """Wait for one of several tasks, or for so long; tell whether one is done."""
        wanted = set(names)
        with self._changed:
            return self._changed.wait_for(lambda: not wanted.isdisjoint(self._done), seconds)

    def hurry(self, name: str) -> None:
        """Let a task be the next to begin."""
        with self._changed:
            for entry in self._waiting:
                if entry[0] == name:
                    self._waiting.remove(entry)
                    self._waiting.appendleft(entry)
                    return

    def stop(self) -> None:
        """Begin nothing more, have what runs give up (it looks at ``stopped``), and wait for it."""
        self.stopped = True
        self._join(_PATIENCE)
        # what is built after the tests, such as a changed program anew, is nobody's to stop
        self.stopped = self._working > 0

    def finish(self) -> None:
        """Begin nothing more, and let what runs come to its end: others may wait for it."""
        self._join(None)

    def _join(self, patience: float | None) -> None:
        with self._changed:
            for name, _ in self._waiting:
                self._done.add(name)
            self._waiting.clear()
            # not `Thread.join`: up to Python 3.12 one that Ctrl-C interrupts takes the thread for
            # ended, and all that it works with would be closed under it
            ended = self._changed.wait_for(lambda: self._working == 0, patience)
        if ended:
            for thread in self._threads:
                thread.join()

    def _work(self, surroundings: Surroundings) -> None:
        with kept(surroundings):
            while True:
                with self._changed:
                    if not self._waiting:
                        self._working -= 1
                        self._changed.notify_all()
                        return
                    name, task = self._waiting.popleft()
                try:
                    task()
                # pytest's outcomes too, which a hook may raise: no thread ends before its tasks do
                except BaseException:  # noqa: BLE001, S110 (met again by who asks, as `start` says)
                    pass
                finally:
                    with self._changed:
                        self._done.add(name)
                        self._changed.notify_all()
