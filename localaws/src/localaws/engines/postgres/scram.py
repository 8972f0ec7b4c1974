"""SCRAM-SHA-256, the password authentication of PostgreSQL, client and server.

Passwords outside ASCII are not normalised (RFC 4013).

https://www.rfc-editor.org/rfc/rfc7677
https://www.postgresql.org/docs/current/sasl-authentication.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

MECHANISM = "SCRAM-SHA-256"
_ITERATIONS = 4096


class ScramError(Exception):
    """The peer violates the protocol, or has another password."""


class ScramClient:
    """The client, which proves that it has the password.

    Args:
        password: The password.
    """

    def __init__(self, password: str) -> None:
        self._password = password
        self._first = f"n=,r={secrets.token_urlsafe(18)}"
        self._server_signature = b""

    def first_message(self) -> bytes:
        """The first message, without channel binding."""
        return f"n,,{self._first}".encode()

    def final_message(self, server_first: bytes) -> bytes:
        """The proof for the server's first message."""
        fields = _fields(server_first)
        if not fields.get("r", "").startswith(self._first.partition("r=")[2]):
            raise ScramError("the server's nonce does not continue ours")
        salted = _salted(self._password, base64.b64decode(fields["s"]), int(fields["i"]))
        without_proof = f"c=biws,r={fields['r']}"
        signed = f"{self._first},{server_first.decode()},{without_proof}".encode()
        proof, self._server_signature = _proof(salted, signed), _server_signature(salted, signed)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Verify the server's proof."""
        given = base64.b64decode(_fields(server_final).get("v", ""))
        if not hmac.compare_digest(given, self._server_signature):
            raise ScramError("the server does not know the password")


class ScramServer:
    """The server, which verifies a proof.

    Args:
        password: The password that the client must have.
    """

    def __init__(self, password: str) -> None:
        self._salt = secrets.token_bytes(16)
        self._salted = _salted(password, self._salt, _ITERATIONS)
        self._client_first = ""
        self._first = ""

    def first_message(self, client_first: bytes) -> bytes:
        """The response to the client's first message."""
        binding, _, rest = client_first.decode().partition(",")
        if binding not in ("n", "y"):
            raise ScramError("channel binding was not offered")
        self._client_first = rest.partition(",")[2]
        nonce = _fields(self._client_first.encode()).get("r")
        if not nonce:
            raise ScramError("the client sent no nonce")
        salt = base64.b64encode(self._salt).decode()
        self._first = f"r={nonce}{secrets.token_urlsafe(18)},s={salt},i={_ITERATIONS}"
        return self._first.encode()

    def final_message(self, client_final: bytes) -> bytes:
        """Verify the proof of the client, and return the proof of the server.

        Raises:
            ScramError: The proof is wrong.
        """
        without_proof, _, proof = client_final.decode().rpartition(",p=")
        if _fields(without_proof.encode()).get("r") != _fields(self._first.encode())["r"]:
            raise ScramError("the client's nonce is not ours")
        signed = f"{self._client_first},{self._first},{without_proof}".encode()
        if not hmac.compare_digest(base64.b64decode(proof), _proof(self._salted, signed)):
            raise ScramError("the password is wrong")
        return b"v=" + base64.b64encode(_server_signature(self._salted, signed))


def _fields(message: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.decode().split(",") if "=" in part)


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def _proof(salted: bytes, signed: bytes) -> bytes:
    key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(key).digest(), signed)
    return bytes(a ^ b for a, b in zip(key, signature, strict=True))


def _server_signature(salted: bytes, signed: bytes) -> bytes:
    return _hmac(_hmac(salted, b"Server Key"), signed)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
