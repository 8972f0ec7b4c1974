"""The event loop of databases and proxies, in a thread of its own.

The emulator's event loop is blocked while a resource is provisioned, and sessions of clients must continue.
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
    """Run a coroutine in the loop from another thread, and return its result."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def at_once(work: Any) -> None:
    """Call a function in the loop from another thread, and wait until it returns."""

    async def call() -> None:
        work()

    run(call())
