"""The password of a connection: a request to connect, signed with the function's own role.

The same as ``generate_db_auth_token`` of boto3's client for RDS, without that client: its model of the API
costs a cold start a quarter of a second. A token is good for 15 minutes, and only to connect: a connection
that is open stays open. So one is made for each connection and none is kept.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
"""

import logging
from urllib.parse import quote

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

from settings import Settings

VALID_SECONDS = 15 * 60

_session = Session()
logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells each time where credentials are from


def make_token(settings: Settings) -> str:
    """Sign a token for one connection.

    Args:
        settings: Where to, and as whom.

    Raises:
        RuntimeError: There are no credentials to sign with.
    """
    credentials = _session.get_credentials()
    if credentials is None:
        raise RuntimeError("no AWS credentials: a function has those of its role; elsewhere, configure some")
    url = f"https://{settings.host}:{settings.port}/?Action=connect&DBUser={quote(settings.user, safe='')}"
    request = AWSRequest(method="GET", url=url)
    signer = SigV4QueryAuth(
        credentials.get_frozen_credentials(), "rds-db", settings.region, expires=VALID_SECONDS
    )
    signer.add_auth(request)
    assert request.url is not None  # it was given one
    return request.url.removeprefix("https://")
