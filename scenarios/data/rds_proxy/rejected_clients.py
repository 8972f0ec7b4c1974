"""Clients that the proxy must reject, without the function."""

from __future__ import annotations

import time
from urllib.parse import quote

import psycopg
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack, ScenarioFailed


def connect(stack: DeployedStack, user: str, *, tls: bool = True, expired: bool = False) -> str:
    """Connect to the proxy with a token signed by this session's credentials.

    Args:
        stack: The deployed stack.
        user: The database user.
        tls: Whether to use TLS.
        expired: Whether to connect after the token has expired.

    Returns:
        The proxy's message if it rejected the connection; empty if it accepted it.
    """
    host, port = stack.output("ProxyEndpoint"), 5432
    token = _token(stack, host, port, user, seconds=1 if expired else 900)
    if expired:
        time.sleep(2)  # until after its end
    try:
        psycopg.connect(
            host=host,
            port=port,
            user=user,
            password=token,
            dbname="app",
            sslmode="require" if tls else "disable",  # the function also verifies the certificate
            connect_timeout=60,  # a busy machine: a timeout is no rejection
        ).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def _token(stack: DeployedStack, host: str, port: int, user: str, *, seconds: int) -> str:
    """Sign a token as ``generate_db_auth_token`` does, valid for this many seconds."""
    credentials = stack.session.get_credentials()
    if credentials is None:
        raise ScenarioFailed("the session has no credentials")
    request = AWSRequest("GET", f"https://{host}:{port}/?Action=connect&DBUser={quote(user)}")
    SigV4QueryAuth(credentials, "rds-db", stack.session.region_name, expires=seconds).add_auth(request)
    return str(request.url).removeprefix("https://")
