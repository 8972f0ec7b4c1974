"""A program that calls another function, here a function itself: its role needs ``lambda:InvokeFunction``.

Invoke it with ``{"request": {…}}``, and with ``"mode": "send"`` or ``"check"`` for an asynchronous call or a
dry run. ``limits`` and ``idempotency_key`` are optional. It returns the answer, or which error its client
raised.

Where both are functions, the caller's time is paid for while it waits. A queue or Step Functions wait for
free.
"""

import os
from dataclasses import asdict
from functools import cache
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from .client import Client, DeadlineExceeded, FunctionFailed, Limits, Refused

    @cache
    def client_with(limits: Limits) -> Client:
        """The client with these limits, made once: most of its time is for the SDK's model of Lambda."""
        return Client(os.environ["TARGET_ARN"], limits)

    client_with(Limits())


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Call the function and return what came of it."""
    client = client_with(Limits(**event.get("limits", {})))
    request, key = event.get("request", {}), event.get("idempotency_key")
    try:
        match event.get("mode", "call"):
            case "call":
                return asdict(client.call(request, idempotency_key=key))
            case "send":
                return asdict(client.send(request, idempotency_key=key))
            case "check":
                client.check()
                return {"payload": None, "attempts": 1}
            case other:
                raise ValueError(f"mode={other!r}: choose one of 'call', 'send', 'check'.")
    except (DeadlineExceeded, FunctionFailed, Refused) as error:
        return {"error": type(error).__name__, "message": str(error)}
