"""No connection without TLS, with an untrusted certificate, or with a certificate for another host."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import psycopg
import pymysql
import pytest

from data.rds_proxy import mysql, postgres
from localaws.server.certificates import TlsFiles, make_certificates
from shared.login import Login
from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT

PASSWORD = "a-token-that-must-not-leak"
SSL_REQUEST = 8

# A MySQL server's greeting: protocol 10, and no flag for TLS among its capabilities (0x0200 | 0x8000, then
# 0x0008 for authentication plugins).
MYSQL_GREETING = (
    b"\x0a8.4.0\0\x01\0\0\0" + b"a" * 8 + b"\0\x00\x82\xff\x02\0\x08\0\x15" + b"\0" * 10 + b"b" * 12 + b"\0"
    b"mysql_native_password\0"
)


Greet = Callable[[socket.socket], socket.socket]


class Server:
    """Accepts one client, greets it, and records what it sends, in the clear or inside TLS."""

    def __init__(self, greet: Greet, address: str) -> None:
        self.received = b""
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._greet = greet
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(60)
        try:
            talking = self._greet(client)
            self.received = talking.recv(65_536)
        except OSError:
            pass
        finally:
            client.close()

    def close(self) -> None:
        self._thread.join(60)
        self._listener.close()


@contextmanager
def serving(greet: Greet, address: str = "127.0.0.1") -> Iterator[Server]:
    server = Server(greet, address)
    yield server
    server.close()


def postgres_without_tls(client: socket.socket) -> socket.socket:
    client.recv(SSL_REQUEST)
    client.sendall(b"N")
    return client


def mysql_without_tls(client: socket.socket) -> socket.socket:
    client.sendall(len(MYSQL_GREETING).to_bytes(3, "little") + b"\0" + MYSQL_GREETING)
    return client


def postgres_with(files: TlsFiles) -> Greet:
    def greet(client: socket.socket) -> socket.socket:
        client.recv(SSL_REQUEST)
        client.sendall(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        return context.wrap_socket(client, server_side=True)

    return greet


def connect(engine: ModuleType, port: int, *, host: str, authorities: Path) -> None:
    login = Login(
        host=host,
        port=port,
        database="app",
        user="app_owner",
        region="eu-west-1",
        authorities=str(authorities),
    )
    engine.connect(login, PASSWORD)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificates(tmp_path_factory.mktemp("ours"), "eu-west-1")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificates(tmp_path_factory.mktemp("others"), "eu-west-1")


@pytest.mark.parametrize(
    ("engine", "greet", "error"),
    [
        (postgres, postgres_without_tls, psycopg.OperationalError),
        (mysql, mysql_without_tls, pymysql.OperationalError),
    ],
)
def test_a_server_without_tls_is_refused_before_it_receives_the_token(
    files: TlsFiles, engine: ModuleType, greet: Greet, error: type[Exception]
) -> None:
    with serving(greet) as server, pytest.raises(error, match="SSL"):
        connect(engine, server.port, host="localhost", authorities=files.authority)
    assert PASSWORD.encode() not in server.received


def test_a_certificate_from_an_unknown_authority_is_refused(files: TlsFiles, others: TlsFiles) -> None:
    with (
        serving(postgres_with(others)) as server,
        pytest.raises(psycopg.OperationalError, match="certificate verify failed"),
    ):
        connect(postgres, server.port, host="localhost", authorities=files.authority)
    assert PASSWORD.encode() not in server.received


def test_a_certificate_for_another_host_is_refused(files: TlsFiles) -> None:
    # 127.0.0.2 is this machine too, and no certificate is for it.
    with (
        serving(postgres_with(files), "127.0.0.2") as server,
        pytest.raises(psycopg.OperationalError, match="does not match host name"),
    ):
        connect(postgres, server.port, host="127.0.0.2", authorities=files.authority)
    assert PASSWORD.encode() not in server.received


def test_a_certificate_for_the_host_is_accepted(files: TlsFiles) -> None:
    """The control for the refusals above: here the client goes on and sends its user name."""
    hangs_up = pytest.raises(psycopg.OperationalError)
    with serving(postgres_with(files)) as server, hangs_up:
        connect(postgres, server.port, host="localhost", authorities=files.authority)
    assert b"app_owner" in server.received


def test_the_trusted_authorities_are_those_of_the_system_or_of_the_environment(
    files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    assert Login.from_environment(ENVIRONMENT).authorities == str(files.authority)
