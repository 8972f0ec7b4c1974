"""Clients of AWS services, and the failure queue.

Clients are made with botocore: ``boto3.client`` makes the same ones, and importing boto3 as well would add a
tenth to the start (``benchmarks/README.md``).
"""

from functools import cache
from typing import Any, TypeAlias

import botocore.session
from botocore.config import Config

Client: TypeAlias = Any  # botocore makes the methods of a client when it makes the client

# One attempt that hangs must not use up the function's minute: with these limits four attempts fit into it.
# `standard` also knows which errors of which service are worth another attempt.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"mode": "standard", "total_max_attempts": 4},
    tcp_keepalive=True,
)

# For handlers of batches, where a call that hangs must not take the time of the other records.
_QUICK = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
# A call of a quick client takes this long at most: two attempts without an answer, and a pause of up to 1
# second between them. In seconds.
LONGEST_CALL = 6


@cache
def _session() -> botocore.session.Session:
    """The one session of the process: it loads credentials and service models, and caches both."""
    return botocore.session.get_session()


def make_clients(*services: str) -> list[Client]:
    """Make a client for each service, with the Region and the credentials of the function."""
    return [_session().create_client(service, config=_CONFIG) for service in services]


def make_quick_client(service: str) -> Client:
    """Make a client whose calls end within ``LONGEST_CALL``."""
    return _session().create_client(service, config=_QUICK)


class FailureQueue:
    """The queue for records that failed permanently.

    Args:
        sqs: A client of SQS.
        url: The URL of the queue.
    """

    def __init__(self, sqs: Client, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def send(self, body: str) -> None:
        """Send a message."""
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body)
