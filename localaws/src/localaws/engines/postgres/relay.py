"""Relays each client of an endpoint to the socket of the server, over a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from localaws.engines.postgres import wire
from localaws.engines.postgres.endpoint import Client
from localaws.engines.postgres.server import SUPERUSER

_CHUNK = 65536


class Relay:
    """Forwards everything after the startup message.

    Args:
        socket: The server's socket.
        require_tls: Returns whether clients without TLS are refused; called for each client.
    """

    def __init__(self, socket: Path, require_tls: Callable[[], bool]) -> None:
        self._socket = socket
        self._require_tls = require_tls

    async def serve(self, client: Client) -> None:
        """Serve a client until it or the server ends the connection."""
        user, database = client.parameters.get("user", ""), client.parameters.get("database", "")
        who = f'host "127.0.0.1", user "{user}", database "{database or user}"'
        if user == SUPERUSER:
            client.refuse("28000", f"pg_hba.conf rejects connection for {who}")
            return
        if self._require_tls() and not client.tls:
            client.refuse("28000", f"no pg_hba.conf entry for {who}, no encryption")
            return
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return  # as with a running host whose server is down: the connection ends
        ways = [
            asyncio.ensure_future(_copy(client.reader, writer)),
            asyncio.ensure_future(_copy(reader, client.writer)),
        ]
        try:
            writer.write(wire.startup(client.parameters))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
