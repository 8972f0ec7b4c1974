"""Authenticates the clients of a proxy. The error messages are those that AWS documents."""

from __future__ import annotations

import binascii

from localaws.engines.postgres import wire
from localaws.engines.postgres.endpoint import Client
from localaws.engines.postgres.scram import MECHANISM, ScramError, ScramServer
from localaws.engines.rds_proxy.pool import Key
from localaws.engines.rds_proxy.settings import Control, Credentials

# Parameters of a startup message that connections cannot be shared across; all others are refused.
_SUPPORTED = frozenset(
    {
        *("user", "database", "application_name", "client_encoding", "datestyle", "intervalstyle"),
        *("timezone", "extra_float_digits", "search_path"),
    }
)
_CLEARTEXT, _SASL, _SASL_CONTINUE, _SASL_FINAL = 3, 10, 11, 12


class RefusedError(Exception):
    """The client may not use the proxy.

    Attributes:
        code: The SQLSTATE.
    """

    def __init__(self, reason: str, code: str = "28000") -> None:
        super().__init__(reason)
        self.code = code


async def log_in(client: Client, control: Control, host: str, port: int) -> Key:
    """Authenticate a client, and return the kind of connection that it needs.

    Args:
        client: The client, after its startup message.
        control: The account of the proxy.
        host: The proxy's address.
        port: Its port.

    Raises:
        RefusedError: It may not use the proxy.
    """
    key = _kind(client.parameters)
    role = dict(key)["user"]
    if control.settings().require_tls and not client.tls:
        raise RefusedError("This RDS Proxy requires TLS connections.")
    credentials = control.credentials(role)
    if credentials is None:
        raise RefusedError(
            f"This RDS proxy has no credentials for the role {role}. "
            "Check the credentials for this role and try again."
        )
    if credentials.iam == "DISABLED":
        await _ask_for_password(client, role, credentials)
    else:
        await _ask_for_token(client, control, role, credentials, (host, port))
    return key


def _kind(parameters: dict[str, str]) -> Key:
    role = parameters.get("user")
    if not role:
        raise RefusedError(
            "A user name is missing from the connection startup packet. "
            "Provide a user name for this connection."
        )
    if parameters.get("options"):
        raise RefusedError(
            "Feature not supported: RDS Proxy currently doesn't support command-line options.", "0A000"
        )
    if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise RefusedError(
            "Feature not supported: RDS Proxy currently doesn't support streaming replication mode.", "0A000"
        )
    for name in parameters:
        if name.lower() not in _SUPPORTED | {"options", "replication"}:
            raise RefusedError(
                f"Feature not supported: RDS Proxy currently doesn't support the option {name}.", "0A000"
            )
    kind = {name: value for name, value in parameters.items() if name.lower() in _SUPPORTED}
    return tuple(sorted({"database": role, **kind}.items()))


async def _ask_for_token(
    client: Client, control: Control, role: str, credentials: Credentials, address: tuple[str, int]
) -> None:
    if not client.tls:
        raise RefusedError("IAM authentication is allowed only with SSL connections.")
    client.writer.write(wire.authentication(_CLEARTEXT))
    given = wire.body(await client.read()).rstrip(b"\0").decode(errors="replace")
    if credentials.iam == "ENABLED" and given == credentials.password:
        return
    if not control.admits(role, given, *address):
        raise RefusedError(
            f"The IAM authentication failed for the role {role}. "
            "Check the IAM token for this role and try again."
        )


async def _ask_for_password(client: Client, role: str, credentials: Credentials) -> None:
    wrong = RefusedError(f"The password that was provided for the role {role} is wrong.", "28P01")
    scram = ScramServer(credentials.password or "")
    client.writer.write(wire.authentication(_SASL, wire.text(MECHANISM) + b"\0"))
    mechanism, _, first = wire.body(await client.read()).partition(b"\0")
    if mechanism.decode(errors="replace") != MECHANISM:
        raise RefusedError("RDS supports only IAM, MD5, or SCRAM authentication.")
    try:
        client.writer.write(wire.authentication(_SASL_CONTINUE, scram.first_message(first[4:])))
        proof = wire.body(await client.read())
        client.writer.write(wire.authentication(_SASL_FINAL, scram.final_message(proof)))
    except (ScramError, ValueError, binascii.Error):
        raise wrong from None
