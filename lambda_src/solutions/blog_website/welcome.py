"""New subscribers from the stream of their table → ledger → a welcome mail for each, at most one per change.

A change that fails costs that change only: the others of its batch are mailed, and Lambda tries it again.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    import botocore.session
    from aws_lambda_powertools.logging import Logger
    from botocore.config import Config
    from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

    from shared.clients import Client, make_quick_client
    from shared.shares import Shares
    from shared.stream_batches import partial_batch_response

    from .ledger import Ledger

    logger = Logger()
    # One attempt: the SDK would repeat a call whose answer was lost, and with it a mail that was sent.
    _ONCE = Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 1})
    ses: Client = botocore.session.get_session().create_client("sesv2", config=_ONCE)
    ledger = Ledger(make_quick_client("dynamodb"), os.environ["LEDGER_TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SENDER, SITE = os.environ["SENDER"], os.environ["SITE_URL"]
_SUBJECT = "Welcome"
_TEXT = """Thank you for subscribing.

You find all posts at {site}. We write to you when there is a new one.
"""


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Send the mails of a batch of insertions, and return the first that failed, if any.

    Raises:
        Exception: The first of several changes failed.
    """
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
    failures: dict[str, Exception] = {}
    shares = Shares(context, len(numbers))
    for number, record in zip(numbers, event["Records"], strict=True):
        try:
            shares.next()
            welcome(record["eventID"], record["dynamodb"]["Keys"]["email"]["S"])
        except Exception as error:
            logger.exception("not mailed", extra={"change": record["eventID"]})
            failures[number] = error
    return partial_batch_response(numbers, failures)


def welcome(change: str, address: str) -> None:
    """Mail a subscriber, unless this change was mailed already.

    Raises:
        InDoubt: It may have been mailed.
        Exception: It was not mailed, or SES did not answer.
    """
    if not ledger.claim(change, address):
        logger.info("mailed before", extra={"change": change})
        return
    try:
        message = send(address)
    except Exception as error:
        if _was_not_sent(error):
            ledger.release(change)
        raise
    ledger.close(change, message)


def send(address: str) -> str:
    """Send the mail; return its id."""
    text = {"Text": {"Data": _TEXT.format(site=SITE)}}
    answer = ses.send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": [address]},
        Content={"Simple": {"Subject": {"Data": _SUBJECT}, "Body": text}},
    )
    return str(answer["MessageId"])


def _was_not_sent(error: Exception) -> bool:
    """Whether SES refused the mail, or was not reached: not if its answer was lost, or is about itself."""
    if isinstance(error, ClientError):
        return 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return isinstance(error, EndpointConnectionError | ConnectTimeoutError)
