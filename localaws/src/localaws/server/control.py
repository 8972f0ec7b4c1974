"""The routes that are added to the emulator's: reports, a reset, the pace, and deliveries.

GET  /_localaws/dropped
GET  /_localaws/denied
GET  /_localaws/explanations?since=SECONDS
GET  /_localaws/calls?after=NUMBER
GET  /_localaws/usage
POST /_localaws/reset
POST /_localaws/pace
POST /_localaws/concurrency
POST /_localaws/instances
POST /_localaws/broker
POST /_localaws/viewers
POST /_localaws/deliver
GET, POST, DELETE /_localaws/faults
POST /_localaws/faults/kill

`gate` lets only requests with the secret of the start pass.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import parse_qs

from localaws import journal, pace, patching, recorder, usage
from localaws.faults.rules import Rule, rules
from localaws.server import processes

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def with_control(app: Application) -> Application:
    """Add the routes to the emulator's ASGI application."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        route = (scope.get("method"), scope.get("path")) if scope["type"] == "http" else None
        if route == ("GET", "/_localaws/dropped"):
            await _answer(send, [asdict(dropped) for dropped in recorder.report.dropped()])
        elif route == ("GET", "/_localaws/denied"):
            names = [field.name for field in fields(journal.Denied)]
            denied = journal.denials.all()
            await _answer(send, [{name: getattr(one, name) for name in names} for one in denied])
        elif route == ("GET", "/_localaws/explanations"):
            since = float(_parameter(scope, "since") or 0)
            await _answer(send, [asdict(one) for one in journal.denials.all() if one.last >= since])
        elif route == ("GET", "/_localaws/used"):
            await _answer(send, [asdict(used) for used in journal.uses.all()])
        elif route == ("GET", "/_localaws/calls"):
            after = _number(scope, "after") or 0
            await _answer(send, [asdict(call) for call in journal.calls.after(after)])
        elif route == ("GET", "/_localaws/usage"):
            await _answer(send, [asdict(one) for one in usage.amounts.all()])
        elif route == ("POST", "/_localaws/faults"):
            await _answer(send, rules.add(Rule(**json.loads(await _body(receive)))))
        elif route == ("POST", "/_localaws/faults/kill"):
            from localaws.services.lambda_.faults import kill

            await _answer(send, kill(**json.loads(await _body(receive))))
        elif route == ("GET", "/_localaws/faults"):
            await _answer(send, rules.applied(_number(scope, "number") or 0))
        elif route == ("DELETE", "/_localaws/faults"):
            rules.remove(_number(scope, "number"))
            await _answer(send, {})
        elif route == ("POST", "/_localaws/pace"):
            await _answer(send, pace.change(json.loads(await _body(receive))))
        elif route == ("POST", "/_localaws/concurrency"):
            from localaws.services.lambda_ import concurrency

            await _answer(send, concurrency.change(json.loads(await _body(receive))))
        elif route == ("POST", "/_localaws/instances"):
            from localaws.services.elbv2 import servers

            await _answer(send, servers.answer(**json.loads(await _body(receive))))
        elif route == ("POST", "/_localaws/broker"):
            from localaws.services.lambda_.broker_event_source import stand_in

            await _answer(send, stand_in(**json.loads(await _body(receive))))
        elif route == ("POST", "/_localaws/viewers"):
            from localaws.services.cloudfront.viewers import place

            await _answer(send, place(json.loads(await _body(receive))))
        elif route == ("POST", "/_localaws/reset"):
            await _reset(app, scope, receive)
            await _answer(send, {})
        elif route == ("POST", "/_localaws/deliver"):
            # Imported late: the bridges must be applied before the module reads what they change.
            from localaws.server.deliveries import deliver

            await _answer(send, await deliver(json.loads(await _body(receive))))
        else:
            await app(scope, receive, send)

    return serve


def _number(scope: Message, name: str) -> int | None:
    found = _parameter(scope, name)
    return int(found) if found else None


def _parameter(scope: Message, name: str) -> str | None:
    found = parse_qs(scope["query_string"].decode()).get(name)
    return found[0] if found else None


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def announcing(app: Application, say_ready: Callable[[], None]) -> Application:
    """Wrap an ASGI application to call `say_ready` once it has started."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        async def send_and_say(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                say_ready()

        await app(scope, receive, send_and_say if scope["type"] == "lifespan" else send)

    return serve


async def _answer(send: Send, body: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _reset(app: Application, scope: Message, receive: Receive) -> None:
    async def ignore(message: Message) -> None:
        pass

    # The emulator's reset empties its services, stops idle workers and abandons deployments.
    await app({**scope, "path": "/_ministack/reset", "raw_path": b"/_ministack/reset"}, receive, ignore)
    patching.reset()
    await asyncio.to_thread(_kill_leftovers)
    recorder.report.clear()
    rules.remove()
    journal.denials.clear()
    journal.uses.clear()
    journal.calls.clear()
    usage.amounts.clear()


def _kill_leftovers() -> None:
    """Kill what the emulator's reset misses: starting workers, and child processes of handlers.

    Orphans are children of the keeper, which is the parent of this process.
    """
    for pid in set(processes.descendants(os.getppid())) - {os.getpid()}:
        processes.kill(pid)
