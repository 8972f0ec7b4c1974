"""The password of a connection: an IAM token, signed with the credentials of the function's role.

``generate_db_auth_token`` of boto3's RDS client makes the same token, as a test checks. This module uses
botocore's signer without that client, because a cold start would spend a third more CPU time on loading the
client. CPU time from the start to the first token, including the import of psycopg
(``python3 run.py bench iam_token``, 2026-11-27):

- botocore's signer, as here: 185 ms, 1.00
- botocore's RDS client and ``generate_db_auth_token``: 241 ms, 1.31
- Signature Version 4 written out with ``hmac``: 153 ms, 0.83

The signer is worth its ten lines. The signature written out takes 40, any mistake in which is a security
hole, and would save only half as much again.

A token is valid for 15 minutes, and only for connecting: an open connection stays open. So each connection
gets a new one, and none is stored.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
"""

from urllib.parse import quote

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ContainerProvider, Credentials, EnvProvider

from shared.login import Login

VALID_SECONDS = 15 * 60


def make_token(login: Login) -> str:
    """Sign a token for one connection.

    Args:
        login: The proxy and the user.

    Raises:
        RuntimeError: There are no credentials to sign with.
    """
    url = f"https://{login.host}:{login.port}/?Action=connect&DBUser={quote(login.user, safe='')}"
    request = AWSRequest("GET", url)
    SigV4QueryAuth(_credentials(), "rds-db", login.region, expires=VALID_SECONDS).add_auth(request)
    return str(request.url).removeprefix("https://")


def _credentials() -> Credentials:
    """The credentials of the function's role: in environment variables, or with SnapStart behind a URL.

    https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html
    """
    found = EnvProvider().load() or ContainerProvider().load()
    if found is None:
        raise RuntimeError("no AWS credentials: Lambda provides those of the function's role; set some")
    return found
