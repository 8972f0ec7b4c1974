"""An address on the loopback network for PostgreSQL's protocol with TLS.

On Linux each endpoint has an address of its own in 127.0.0.0/8, so all of them can have the documented port.
Where the loopback interface has fewer addresses (macOS has only 127.0.0.1 by default), endpoints that may use
any port get a free one, and the documented port is left for those that may not.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from localaws.engines.postgres import wire

_LOGIN_SECONDS = 60.0
_ATTEMPTS = 20
_FEW = [f"127.0.0.{n}" for n in range(1, 10)]


class AddressError(RuntimeError):
    """No address is left for an endpoint."""


@dataclass
class Client:
    """A client that has connected.

    Attributes:
        reader: Reads from the client.
        writer: Writes to the client.
        tls: Whether the connection is encrypted.
        parameters: The parameters of its startup message: `user`, `database` and others.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tls: bool = False
    parameters: dict[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        """The next message.

        Raises:
            EOFError: The client has closed the connection.
        """
        head = await self.reader.readexactly(5)
        return head + await self.reader.readexactly(int.from_bytes(head[1:], "big") - 4)

    def refuse(self, code: str, reason: str) -> None:
        """Send the client the error with which its connection ends."""
        self.writer.write(wire.error("FATAL", code, reason))


Serve = Callable[[Client], Awaitable[None]]


def reserve(port: int, *, any_port: bool = False) -> socket.socket:
    """Bind a free loopback address.

    Args:
        port: The port.
        any_port: Whether another port may be used, where there are few addresses.

    Raises:
        AddressError: There is no free address.
    """
    candidates = [(address, port) for address in _random_addresses()]
    candidates += [(_FEW[0], 0)] if any_port else [(address, port) for address in _FEW]
    for candidate in candidates:
        with contextlib.suppress(OSError):
            return socket.create_server(candidate, backlog=512)
    raise AddressError(
        f"port={port}: it is in use on every address of the loopback interface. Add an "
        "address (macOS: `sudo ifconfig lo0 alias 127.0.0.2`), or use one endpoint at a time."
    )


def _random_addresses() -> Iterator[str]:
    """Random addresses outside of the range that systems use for their own services."""
    for _ in range(_ATTEMPTS):
        yield f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


class Endpoint:
    """An address that accepts connections.

    Args:
        listener: A bound socket, from `reserve`.
        certificate: The TLS context with a certificate for the address.
        serve: Called for each client after its startup message; the connection ends when it returns.
    """

    def __init__(self, listener: socket.socket, certificate: ssl.SSLContext, serve: Serve) -> None:
        self.address, self.port = listener.getsockname()[:2]
        self._listener = listener
        self._certificate = certificate
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start accepting connections."""
        self._server = await asyncio.start_server(self._connected, sock=self._listener)

    def close(self) -> None:
        """Stop accepting connections, and end the existing ones."""
        if self._server:
            self._server.close()
        self._listener.close()
        for client in self._clients:
            client.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        client = Client(reader, writer)
        # asyncio sets it only on sockets that it creates. Without it, each login waits 40 ms for the client.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(_LOGIN_SECONDS):
                accepted = await self._negotiate(client)
            if accepted:
                await self._serve(client)
        except (EOFError, OSError, TimeoutError, ssl.SSLError, ValueError):
            pass  # the client has gone, or speaks another protocol
        except asyncio.CancelledError:
            pass  # the endpoint was closed
        finally:
            self._clients.discard(task)
            with contextlib.suppress(OSError, RuntimeError):
                client.writer.close()

    async def _negotiate(self, client: Client) -> bool:
        """Respond to requests for encryption until the startup message arrives."""
        while True:
            length = int.from_bytes(await client.reader.readexactly(4), "big")
            if not 8 <= length <= wire.MAX_STARTUP:
                return False
            content = await client.reader.readexactly(length - 4)
            code = int.from_bytes(content[:4], "big")
            if code == wire.SSL_REQUEST and not client.tls:
                client.writer.write(b"S")
                await client.writer.drain()
                await client.writer.start_tls(self._certificate)
                client.tls = True
            elif code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
                client.writer.write(b"N")
            elif code == wire.CANCEL_REQUEST:
                return False  # not supported by RDS Proxy, nor by databases here
            elif code >> 16 == 3:
                client.parameters = wire.startup_parameters(content[4:])
                if code != wire.VERSION_3:
                    client.writer.write(wire.message(b"v", wire.VERSION_3.to_bytes(4, "big"), bytes(4)))
                return True
            else:
                client.refuse("0A000", "Only version 3.0 of the PostgreSQL messaging protocol is supported.")
                return False
