"""Concurrent invocations that run one step at a time, in an order that the test chooses."""

import threading
from collections.abc import Callable


class Died(BaseException):
    """An invocation ends in the middle: a timeout, no memory, a crash."""


class Stage:
    """Lets workers take one step at a time, in an order that is chosen from outside."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def before_step(self, _: str) -> None:
        """Called by the store: the invocation that is about to do something waits for its turn."""
        worker = next(one for one in self.workers if one.thread is threading.current_thread())
        worker.pause()

    @property
    def running(self) -> list["Worker"]:
        """Those that have not ended."""
        return [one for one in self.workers if not one.done]

    def start(self, work: Callable[[], object], event: object) -> None:
        """Let an invocation begin, up to its first step."""
        worker = Worker(work, event)
        self.workers.append(worker)
        worker.thread.start()
        worker.paused.acquire()

    def end(self) -> None:
        """Let every thread end, whatever became of the test."""
        for worker in self.workers:
            while not worker.done:
                worker.step(die=True)


class Worker:
    """An invocation, in a thread that waits before each of its steps."""

    def __init__(self, work: Callable[[], object], event: object) -> None:
        self.event = event
        self.done = False
        self.died = False
        self.error: Exception | None = None
        self.paused = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._die = False
        self._work = work
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._work()
        except Died:
            self.died = True
        except Exception as error:
            self.error = error
        self.done = True
        self.paused.release()

    def pause(self) -> None:
        """Wait until it is this worker's turn."""
        self.paused.release()
        self._go.acquire()
        if self._die:
            raise Died

    def step(self, *, die: bool = False) -> None:
        """Let it go on to its next step, or end here."""
        self._die = die
        self._go.release()
        self.paused.acquire()
