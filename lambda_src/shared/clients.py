"""Clients of AWS services, and the failure queue behind its one plain call.

Clients are made with botocore itself: ``boto3.client`` makes the very same ones, and importing boto3 as well
would cost a tenth of the start (``benchmarks/README.md``).
"""

from typing import Any, TypeAlias

import botocore.session
from botocore.config import Config

Client: TypeAlias = Any  # botocore makes the methods of a client when it makes the client

# An attempt that hangs must not use up the function's minute: with these, four attempts fit. `standard` also
# knows which errors of which service are worth repeating.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"mode": "standard", "total_max_attempts": 4},
    tcp_keepalive=True,
)


def make_clients(*services: str) -> list[Client]:
    """Make a client for each service, for the Region and with the credentials of the function."""
    session = botocore.session.get_session()
    return [session.create_client(service, config=_CONFIG) for service in services]


class FailureQueue:
    """The queue for what failed for good."""

    def __init__(self, sqs: Client, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def send(self, body: str) -> None:
        """Send a message."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body)
