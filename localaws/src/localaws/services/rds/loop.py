"""The event loop of databases and proxies: one thread beside the emulator's own.

No bridge by itself. The emulator's loop is blocked while a resource is provisioned; the sessions of clients
must go on meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="rds").start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the loop and wait, from any other thread."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def at_once(work: Any) -> None:
    """Call a function in the loop, and wait until it has returned."""

    async def call() -> None:
        work()

    run(call())
