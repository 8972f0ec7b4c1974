"""The password of a connection: a request to connect, signed with the function's own role.

The same as ``generate_db_auth_token`` of boto3, as a test shows, and signed here because a cold start would
otherwise pay 0.3 s of CPU for boto3 (at 512 MB: a second) to compute a few hashes. A token is good for 15
minutes, and only to connect: a connection that is open stays open. So one is made for each connection and
none is kept.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import os
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from shared.login import Login

VALID_SECONDS = 15 * 60

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()


def make_token(login: Login) -> str:
    """Sign a token for one connection.

    Args:
        login: Where to, and as whom.

    Raises:
        RuntimeError: There are no credentials to sign with.
    """
    key_id, secret, session_token = _credentials()
    now = datetime.now(UTC)
    scope = [f"{now:%Y%m%d}", login.region, "rds-db", "aws4_request"]
    host = f"{login.host}:{login.port}"
    fields = {
        "Action": "connect",
        "DBUser": login.user,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": "/".join([key_id, *scope]),
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(VALID_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if session_token:
        fields["X-Amz-Security-Token"] = session_token
    query = urlencode(sorted(fields.items()), safe="-_.~", quote_via=quote)
    request = "\n".join(["GET", "/", query, f"host:{host.lower()}", "", "host", _NO_BODY])
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in [*scope, "\n".join([_ALGORITHM, fields["X-Amz-Date"], "/".join(scope), hashed])]:
        key = hmac.digest(key, part.encode(), "sha256")
    return f"{host}/?{query}&X-Amz-Signature={key.hex()}"


def _credentials() -> tuple[str, str, str]:
    """Key id, secret and session token of the function's role."""
    variables = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    key_id, secret, session_token = (os.environ.get(name, "") for name in variables)
    if key_id and secret:
        return key_id, secret, session_token
    # With SnapStart, Lambda hands credentials out in another way, which botocore knows.
    from botocore.session import Session

    found = Session().get_credentials()
    if found is None:
        raise RuntimeError("no AWS credentials: a function has those of its role; elsewhere, configure some")
    frozen = found.get_frozen_credentials()
    return frozen.access_key or "", frozen.secret_key or "", frozen.token or ""
