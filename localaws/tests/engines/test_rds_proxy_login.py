"""Logging in to a proxy, and the errors of refused clients."""

from __future__ import annotations

import socket
import struct

import psycopg
import pytest

from helpers.lambda_functions import eventually
from helpers.rds_proxies import PASSWORD, TOKEN, Proxied
from localaws.engines.postgres import endpoint
from localaws.engines.postgres.scram import ScramClient, ScramError, ScramServer

pytestmark = pytest.mark.local


def refusal(proxy: Proxied, **changed: object) -> str:
    """The error of a client that is refused."""
    with pytest.raises(psycopg.OperationalError) as refused:
        proxy.connect(**changed)
    return str(refused.value)


def test_a_token_over_tls_is_accepted(proxy: Proxied) -> None:
    assert proxy.connect().execute("select current_user").fetchone() == ("app",)


@pytest.mark.parametrize("password", ["", "another", PASSWORD])
def test_another_token_does_not(proxy: Proxied, password: str) -> None:
    message = refusal(proxy, password=password or "x")
    assert "The IAM authentication failed for the role app. Check the IAM token" in message
    assert proxy.measure()["ClientConnectionsSetupFailedAuth"] == 1
    assert PASSWORD not in "".join(proxy.account.logged)


def test_with_optional_iam_the_password_is_accepted_too(proxy: Proxied) -> None:
    proxy.account.iam = "ENABLED"
    for password in (TOKEN, PASSWORD):
        proxy.connect(password=password)
    assert "IAM authentication failed" in refusal(proxy, password="another")


def test_with_iam_disabled_only_the_password_is_accepted(proxy: Proxied) -> None:
    proxy.account.iam = "DISABLED"
    proxy.set(require_tls=False)
    assert proxy.connect(password=PASSWORD).execute("select 1").fetchone() == (1,)
    assert proxy.connect(password=PASSWORD, sslmode="disable").execute("select 1").fetchone() == (1,)
    message = refusal(proxy, password=TOKEN)
    assert "The password that was provided for the role app is wrong." in message


def test_without_tls_connections_are_refused(proxy: Proxied) -> None:
    assert "This RDS Proxy requires TLS connections." in refusal(proxy, sslmode="disable")


def test_a_token_never_travels_without_tls(proxy: Proxied) -> None:
    proxy.set(require_tls=False)
    message = refusal(proxy, sslmode="disable")
    assert "IAM authentication is allowed only with SSL connections." in message


def test_a_client_that_trusts_another_authority_does_not_connect(proxy: Proxied) -> None:
    message = refusal(proxy, sslrootcert="system")
    assert "certificate verify failed" in message


def test_a_role_without_a_secret_is_refused(proxy: Proxied) -> None:
    assert "This RDS proxy has no credentials for the role other." in refusal(proxy, user="other")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"options": "-c statement_timeout=1"}, "doesn't support command-line options."),
        ({"replication": "database"}, "doesn't support streaming replication mode."),
    ],
)
def test_features_that_rds_proxy_does_not_support_are_refused(
    proxy: Proxied, changed: dict[str, str], message: str
) -> None:
    assert message in refusal(proxy, **changed)


def test_a_database_that_does_not_exist_is_an_error_at_login(proxy: Proxied) -> None:
    message = refusal(proxy, dbname="nowhere")
    assert 'Request returned an error: database "nowhere" does not exist' in message


def test_a_wrong_password_in_the_secret_is_an_error_at_login(proxy: Proxied) -> None:
    proxy.account.password = "not this one"
    assert "Request returned an error: password authentication failed" in refusal(proxy)


def test_a_secret_that_is_rotated_serves_the_next_connection(proxy: Proxied) -> None:
    old = proxy.connect()
    proxy.sql("alter role app password 'rotated'")
    try:
        proxy.account.password = "rotated"
        proxy.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        eventually(lambda: proxy.measure()["DatabaseConnections"] == 0)
        assert old.execute("select 1").fetchone() == (1,)
        assert proxy.connect().execute("select 1").fetchone() == (1,)
    finally:
        proxy.sql(f"alter role app password '{PASSWORD}'")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!II", 8, 0),
        struct.pack("!I", 4),
        struct.pack("!II", 2**31, 196608),
        b"",
    ],
)
def test_other_protocols_are_disconnected_without_effect(proxy: Proxied, sent: bytes) -> None:
    with socket.create_connection((proxy.address, 5432), timeout=5) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        received = b""
        while data := stranger.recv(1000):
            received += data
    assert received[:1] in (b"", b"E")
    assert proxy.connect().execute("select 1").fetchone() == (1,)


def test_each_endpoint_has_an_address_of_its_own_on_the_same_port() -> None:
    one, other = endpoint.reserve(5432), endpoint.reserve(5432)
    with one, other:
        assert one.getsockname()[0] != other.getsockname()[0]
        assert one.getsockname()[1] == other.getsockname()[1] == 5432


def test_with_one_address_only_a_database_leaves_the_port_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_ATTEMPTS", 0)
    monkeypatch.setattr(endpoint, "_FEW", ["127.0.0.1"])
    with endpoint.reserve(0) as taken:
        port = taken.getsockname()[1]
    with endpoint.reserve(port, any_port=True) as database, endpoint.reserve(port) as proxy:
        assert database.getsockname()[1] != port
        assert proxy.getsockname() == ("127.0.0.1", port)
        with pytest.raises(endpoint.AddressError, match=r"lo0 alias 127\.0\.0\.2"):
            endpoint.reserve(port)


def exchange(client_password: str, server_password: str) -> None:
    client, server = ScramClient(client_password), ScramServer(server_password)
    proof = client.final_message(server.first_message(client.first_message()))
    client.verify(server.final_message(proof))


def test_scram_agrees_on_one_password_and_on_no_other() -> None:
    exchange("pencil=,", "pencil=,")
    with pytest.raises(ScramError, match="wrong"):
        exchange("pencil", "pen")


def test_scram_does_not_take_the_nonce_or_the_signature_of_another() -> None:
    client, server = ScramClient("pencil"), ScramServer("pencil")
    first = server.first_message(client.first_message())
    with pytest.raises(ScramError, match="nonce"):
        ScramClient("pencil").final_message(first)
    server.final_message(client.final_message(first))
    with pytest.raises(ScramError, match="does not know"):
        client.verify(b"v=" + b"A" * 44)
