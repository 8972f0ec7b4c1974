"""The secret of a start, and what is derived from it: the keys of the root users of all accounts, and tokens.

`LocalAws` draws the secret and gives it to the server, which never writes it to a file. A program without
it can neither call an AWS API nor reset the server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

#: The purposes of tokens: control paths (sent in the header), and the image registry.
CONTROL, REGISTRY = "control", "registry"
SECRET_HEADER = "x-localaws-secret"  # noqa: S105 (a name)

_ACCOUNT_ID = re.compile(r"[0-9]{12}")


def derived(secret: str, purpose: str, name: str = "") -> str:
    """A secret for one purpose, from which neither the secret of the start nor another one can be found."""
    return hmac.new(secret.encode(), f"{purpose}:{name}".encode(), hashlib.sha256).hexdigest()


def root_secret(secret: str, account: str) -> str:
    """The secret access key of the root user of an account: 40 characters of base64, as on AWS."""
    return _base64(secret, "root", account, 30)


def _base64(secret: str, purpose: str, name: str, size: int) -> str:
    key = derived(secret, purpose, name).encode()
    return base64.b64encode(hashlib.shake_256(key).digest(size)).decode()


class Start:
    """What the server accepts for the duration of this start.

    Args:
        secret: The secret of the start.
        access_key_id: The root user's key in the default account. In each account, its key is also the
            account's id, by which the emulator selects the account.
        account: The default account.
    """

    def __init__(self, secret: str, access_key_id: str, account: str) -> None:
        self._secret = secret
        self._access_key_id = access_key_id
        self._account = account

    def root_account(self, access_key_id: str) -> str | None:
        """The account that a key is the root user's key of; None if it is another key."""
        if access_key_id == self._access_key_id:
            return self._account
        return access_key_id if _ACCOUNT_ID.fullmatch(access_key_id) else None

    def root_secret(self, account: str) -> str:
        """The secret access key of the root user of an account."""
        return root_secret(self._secret, account)

    def token(self, purpose: str, name: str = "") -> str:
        """The token for one purpose."""
        return derived(self._secret, purpose, name)

    def secret_key(self, purpose: str, name: str) -> str:
        """A secret access key for one purpose: 40 characters of base64, as on AWS."""
        return _base64(self._secret, purpose, name, 30)

    def session_token(self, purpose: str, name: str) -> str:
        """A session token for one purpose, as long as one of AWS."""
        return "IQoJb3JpZ2luX2VjE" + _base64(self._secret, purpose, name, 480)

    def is_token(self, given: str, purpose: str, name: str = "") -> bool:
        """Whether it is the token for that purpose, in the same time for every wrong one."""
        return hmac.compare_digest(given.encode(), self.token(purpose, name).encode())


_started: list[Start] = []


def begin(start: Start) -> None:
    """Set the start that this process serves."""
    _started[:] = [start]


def current() -> Start:
    """The start that this process serves."""
    return _started[0]
