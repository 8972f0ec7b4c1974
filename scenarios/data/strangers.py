"""Clients that a proxy must refuse, spoken to without the function."""

from __future__ import annotations

import time
from urllib.parse import quote

import psycopg
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack


def connect(stack: DeployedStack, user: str, *, tls: bool = True, expired: bool = False) -> str:
    """Connect to the proxy with a token of this session's credentials.

    Args:
        stack: The deployed stack.
        user: The user of the database.
        tls: Whether to use TLS.
        expired: Whether to wait until the token is good no longer.

    Returns:
        What the proxy said to refuse it; empty if it did not.
    """
    host, port = stack.output("ProxyEndpoint"), 5432
    token = _token(stack, host, port, user, seconds=1 if expired else 900)
    if expired:
        time.sleep(2)
    try:
        psycopg.connect(
            host=host,
            port=port,
            user=user,
            password=token,
            dbname="app",
            sslmode="require"
            if tls
            else "disable",  # whether the proxy proves who it is, the function checks
            connect_timeout=10,
        ).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def _token(stack: DeployedStack, host: str, port: int, user: str, *, seconds: int) -> str:
    """A token as ``generate_db_auth_token`` makes it, but good for as long as is asked for."""
    credentials = stack.session.get_credentials()
    assert credentials is not None
    request = AWSRequest("GET", f"https://{host}:{port}/?Action=connect&DBUser={quote(user)}")
    SigV4QueryAuth(
        credentials.get_frozen_credentials(), "rds-db", str(stack.session.region_name), expires=seconds
    ).add_auth(request)
    return str(request.url).removeprefix("https://")
