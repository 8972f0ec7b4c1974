"""The child process: `python -m localaws.server`, with the options as a line of JSON on standard input.

It creates the state folder, the certificates and a socket on a free loopback port, sets the environment that
configures the emulator, applies the bridges, and serves. The first line on standard output is a `Ready`
message.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localaws.server import credentials, keeper, orphans
from localaws.server.protocol import Options, Ready

_OPEN_FILES = 10_240
# What is changed even without bridges: with the emulator's own credentials, the server would not be closed.
ALWAYS = ("iam.credentials",)


def main() -> None:
    """Run the keeper and the server; return when both have ended."""
    if sys.argv[1:]:
        print(
            "localaws.server takes no arguments: LocalAws starts it, from a program or a test.",
            file=sys.stderr,
        )
        sys.exit(2)
    options = Options(**json.loads(_first_line()))
    orphans.clear()
    folder = Path(tempfile.mkdtemp(prefix="localaws-", dir=options.state_dir))
    log_file = Path(options.log_file) if options.log_file else folder / "server.log"
    ready = os.dup(1)
    keeper.split(folder, log_file, lambda: _serve(options, folder, log_file, ready))


def _first_line() -> bytes:
    """Read the options. They are no argument because `ps` shows arguments, and they contain a secret.

    The line is read byte by byte: the keeper needs the rest of the input.
    """
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    return line


def _serve(options: Options, folder: Path, log_file: Path, ready: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    authority = _prepare(options, folder, port)

    def say_ready() -> None:
        message = Ready(os.getpid(), str(folder), port, str(authority), str(log_file))
        os.write(ready, json.dumps(asdict(message)).encode() + b"\n")
        os.close(ready)

    asyncio.run(_emulate(options, listener, say_ready))


def _prepare(options: Options, folder: Path, port: int) -> Path:
    """Create the environment of the emulator and its functions; return the certificate to trust."""
    from localaws.server.certificates import make_certificates

    for name in ("home", "tmp", "s3", "state"):
        (folder / name).mkdir()
    os.chdir(folder)  # files at relative paths are removed with the folder
    os.environ.pop("PYTHONPATH", None)  # functions must not find this package
    os.environ.update(_emulator_environment(options, folder, port))
    tempfile.tempdir = None  # the default before TMPDIR was set
    files = make_certificates(folder, options.region)
    for name, path in {
        "MINISTACK_SSL_CERT": files.certificate,
        "MINISTACK_SSL_KEY": files.key,
        # For functions, which inherit them and call the emulator over TLS.
        "AWS_CA_BUNDLE": files.authority,
        "NODE_EXTRA_CA_CERTS": files.authority,
        "REQUESTS_CA_BUNDLE": files.bundle,
        "SSL_CERT_FILE": files.bundle,
    }.items():
        os.environ[name] = str(path)
    # Each connection and each worker needs some; the default of macOS is 256.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
    return files.authority


def _emulator_environment(options: Options, folder: Path, port: int) -> dict[str, str]:
    limit = options.account_concurrency
    return {
        **({} if limit is None else {"LOCALAWS_ACCOUNT_CONCURRENCY": str(limit)}),
        "AUTH": "true" if options.iam else "false",
        "USE_SSL": "1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": options.account,
        "MINISTACK_REGION": options.region,
        "AWS_ACCESS_KEY_ID": options.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.root_secret(options.secret, options.account),
        "AWS_EC2_METADATA_DISABLED": "true",
        # No listeners on fixed ports, which two servers cannot share.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # No Docker: the emulator would start containers, and remove some at its start.
        "DOCKER_HOST": "unix:///nonexistent",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "TZ": "UTC",  # as in Lambda
    }


async def _emulate(options: Options, listener: socket.socket, say_ready: Callable[[], None]) -> None:
    # Thousands of functions and classes that stay: no garbage is looked for until they are there.
    gc.disable()
    share_models()
    # There is none for the emulator to use, and importing its client takes a twentieth of a start.
    sys.modules["docker"] = None  # type: ignore[assignment]
    # Imported late: these modules read the environment while they are imported.
    import ministack.app
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from localaws import patching, recorder
    from localaws.server.control import announcing, with_control
    from localaws.server.gate import guarded

    start = credentials.Start(options.secret, options.access_key_id, options.account)
    credentials.begin(start)
    patching.apply(None if options.bridges else ALWAYS)
    patching.wrap_handlers(recorder.recorded)
    _ignore_h2c()
    config = Config()
    # The socket is already bound, so that no other process can take the port.
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    config.keep_alive_timeout = 75
    gc.freeze()
    gc.enable()
    forever = asyncio.Event()
    # Read late, because a bridge may have replaced it.
    application = announcing(with_control(ministack.app.app), say_ready)
    application = guarded(application, start, int(os.environ["GATEWAY_PORT"]), bridges=options.bridges)
    await serve(application, config, shutdown_trigger=forever.wait)  # type: ignore[arg-type]


def share_models() -> None:
    """Read and parse the model of a service once, though each session of botocore has a loader of its own.

    The emulator and the bridges make many sessions, one for each client that a role has; reading the models
    again took half of the time of a server whose schedules invoke functions.
    """
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def _ignore_h2c() -> None:
    """Serve a request to change to HTTP/2 as any other: over TLS it is ALPN that decides (RFC 9113, 3.2)."""
    from hypercorn.protocol.h11 import H11Protocol

    stock = H11Protocol._check_protocol

    async def check(self: H11Protocol, event: Any) -> None:
        if event.method == b"PRI":
            await stock(self, event)

    H11Protocol._check_protocol = check  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
