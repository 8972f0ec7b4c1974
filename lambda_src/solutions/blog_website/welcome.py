"""New subscribers from the stream of their table → ledger → a welcome mail for each, at most one per change.

SES limits how many mails an account sends in a second and in a day. What it throttles waits in the stream,
with what comes after it, and is sent later. What would fail again, or waits for too long, goes to the failure
queue with its data.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    import botocore.session
    from aws_lambda_powertools.logging import Logger
    from botocore.config import Config
    from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

    from shared.clients import Client, FailureQueue, make_quick_client
    from shared.failures import PermanentFailure
    from shared.shares import Shares

    from .failures import failure_message
    from .ledger import Ledger

    logger = Logger()
    # One attempt: the SDK would repeat a call whose answer was lost, and with it a mail that was sent.
    _ONCE = Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 1})
    ses: Client = botocore.session.get_session().create_client("sesv2", config=_ONCE)
    ledger = Ledger(make_quick_client("dynamodb"), os.environ["LEDGER_TABLE_NAME"])
    failure_queue = FailureQueue(make_quick_client("sqs"), os.environ["FAILURE_QUEUE_URL"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SENDER, SITE = os.environ["SENDER"], os.environ["SITE_URL"]
PATIENCE = int(os.environ["PATIENCE"])  # how old a change may be that still waits, in seconds
_SUBJECT = "Welcome"
_TEXT = """Thank you for subscribing.

You find all posts at {site}. We write to you when there is a new one.
"""
# A quota of the account, of a second or a day: the same mail is sent later.
# https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
_LATER = {"TooManyRequestsException", "LimitExceededException", "ThrottlingException", "Throttling"}


class NotAccepted(PermanentFailure):
    """SES refuses this mail, and would refuse it again: because of its address, its sender or the account."""


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Send the mails of a batch of insertions; return the first that has to wait, if any.

    Lambda delivers that one and those after it again. They are not tried now: SES would throttle them, too.
    """
    shares = Shares(context, len(event["Records"]))
    for record in event["Records"]:
        change = record["dynamodb"]
        try:
            shares.next()
            welcome(record["eventID"], change["Keys"]["email"]["S"])
        except Exception as error:
            logger.exception("not mailed", extra={"change": record["eventID"]})
            age = time.time() - change["ApproximateCreationDateTime"]
            if not isinstance(error, PermanentFailure) and age < PATIENCE:
                return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
            failure_queue.send(failure_message(record, error, context))
    return {"batchItemFailures": []}


def welcome(change: str, address: str) -> None:
    """Mail a subscriber, unless this change was mailed already.

    Raises:
        InDoubt: It may have been mailed.
        NotAccepted: SES refused it.
        Exception: It was not mailed now, or SES did not answer.
    """
    if not ledger.claim(change, address):
        logger.info("mailed before", extra={"change": change})
        return
    try:
        message = send(address)
    except Exception as error:
        if _was_not_sent(error):
            ledger.release(change)
            if isinstance(error, ClientError) and error.response["Error"]["Code"] not in _LATER:
                raise NotAccepted(str(error)) from error
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
