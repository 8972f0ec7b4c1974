"""The child process: `python -m localaws.server`, with the options as a line of JSON on standard input.

It makes the state folder, the certificates and a listening socket on a free loopback port, sets the
emulator's environment (ministack is configured by nothing else), installs the bridges, and serves. Its
first line on standard output says where it can be reached, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from localaws.server import keeper
from localaws.server.protocol import Options, Ready

_OPEN_FILES = 10_240


def main() -> None:
    """Run as keeper and server; return when both have ended."""
    options = Options(**json.loads(_first_line()))
    folder = Path(tempfile.mkdtemp(prefix="localaws-", dir=options.state_dir))
    log_file = Path(options.log_file) if options.log_file else folder / "server.log"
    ready = os.dup(1)
    keeper.split(folder, log_file, lambda: _serve(options, folder, log_file, ready))


def _first_line() -> bytes:
    """Read the options. Not as an argument: `ps` would show the secret key to everybody.

    Byte by byte: what is left in a buffer would be missed by whoever waits for the end of the input.
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
    """Set up all that the emulator and the functions in it find around them; return whom they trust."""
    from localaws.server.certificates import make_certificates

    for name in ("home", "tmp", "s3", "state"):
        (folder / name).mkdir()
    os.chdir(folder)  # what is written to a relative path goes when the folder goes
    os.environ.pop("PYTHONPATH", None)  # functions shall not find this package
    os.environ.update(_emulator_environment(options, folder, port))
    tempfile.tempdir = None  # forget the folder that was used before TMPDIR was set
    files = make_certificates(folder, options.region)
    for name, path in {
        "MINISTACK_SSL_CERT": files.certificate,
        "MINISTACK_SSL_KEY": files.key,
        # For the functions, which inherit them: they call the emulator over TLS.
        "AWS_CA_BUNDLE": files.authority,
        "NODE_EXTRA_CA_CERTS": files.authority,
        "REQUESTS_CA_BUNDLE": files.bundle,
        "SSL_CERT_FILE": files.bundle,
    }.items():
        os.environ[name] = str(path)
    # Each connection and each worker takes a few; macOS allows 256 unless asked for more.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
    return files.authority


def _emulator_environment(options: Options, folder: Path, port: int) -> dict[str, str]:
    return {
        "AUTH": "true" if options.iam else "false",
        "USE_SSL": "1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": options.account,
        "MINISTACK_REGION": options.region,
        "AWS_ACCESS_KEY_ID": options.access_key_id,
        "AWS_SECRET_ACCESS_KEY": options.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Listeners on fixed ports, which two servers on one machine cannot share.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # No Docker: besides starting containers, the emulator would remove some when it starts.
        "DOCKER_HOST": "unix:///nonexistent",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "TZ": "UTC",  # as in Lambda
    }


async def _emulate(options: Options, listener: socket.socket, say_ready: Callable[[], None]) -> None:
    # Imported only now: these modules read the environment while they are imported.
    import ministack.app
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from localaws import patching, recorder
    from localaws.server.control import announcing, with_control

    if options.bridges:
        patching.apply()
    patching.wrap_handlers(recorder.recorded)
    config = Config()
    # A socket that is already bound: between choosing a free port and binding it nobody can take it.
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    config.keep_alive_timeout = 75
    forever = asyncio.Event()
    # Looked up only now: a bridge may have put itself in front of it.
    application = announcing(with_control(ministack.app.app), say_ready)
    await serve(application, config, shutdown_trigger=forever.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
