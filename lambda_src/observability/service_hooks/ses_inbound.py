"""Mail → SES → ``screen`` (before it is stored) → S3 → ``handler`` (reads it from S3) → a row in DynamoDB.

``screen`` decides on the verdicts of SES: SES waits for its disposition, so what is spam or has a virus is
never stored. It sees the headers only. ``handler`` is invoked afterwards and asynchronously, so Lambda tries
again after an error, and a mail that cannot be read costs that mail only: it is in the failure queue, with
the reason, and still in the bucket.

The verdicts are those of the event. The mail itself may have headers such as ``X-SES-Spam-Verdict`` as well,
which a sender can write.

https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda.html
https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html
"""

import os
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .records import Records

    logger = Logger()
    _s3, _dynamodb = make_clients("s3", "dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_ADDRESSES = ("from", "sender", "reply-to")
_BULK = ("bulk", "junk", "list", "auto_reply")
_COMMENT = re.compile(r"\([^()]*\)")  # in a header
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MOST_PARTS = 10_000  # lines that may begin a part: the parser takes a second for as many
_LONGEST_TEXT = 1_000  # characters of the text that a row has
_LARGEST = 10_000_000  # bytes of a mail that is opened; SES takes up to 40 MB


class Unreadable(ValueError):
    """The mail cannot be read; the text gives the reason."""


@logger.inject_lambda_context
def screen(event: dict[str, Any], context: "LambdaContext") -> dict[str, str]:
    """Let a mail pass, or end the rule set for it. SES waits for the answer for 30 seconds."""
    mail, receipt = _parts(event)
    refused = _refused(receipt)
    logger.info("screened", message_id=mail["messageId"], refused=refused)
    return {"disposition": "STOP_RULE_SET" if refused else "CONTINUE"}


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Make a ticket of a mail that SES has stored."""
    mail, receipt = _parts(event)
    message_id: str = mail["messageId"]
    values: dict[str, Any] = {"from": mail["source"][:320]}
    if refused := _refused(receipt):  # SES goes on if it got no valid answer before
        values["action"] = f"not opened: {', '.join(refused)}"
    elif _status(receipt, "virusVerdict") != "PASS":  # SES could not scan it, or was not asked to
        values["action"] = "not opened: it was not scanned for viruses"
    else:
        values |= summary_of(_stored(message_id))
        reason = why_no_reply(mail, receipt)
        values["action"] = f"no reply: {reason}" if reason else "reply"
    new = Records(_dynamodb, os.environ["TABLE_NAME"]).add(f"mail#{message_id}", values)
    logger.info("recorded" if new else "came twice", message_id=message_id)


def why_no_reply(mail: dict[str, Any], receipt: dict[str, Any]) -> str | None:
    """Return why no automatic reply may be sent: it would go round in circles, or to the wrong person.

    A reply has ``Auto-Submitted: auto-replied`` itself. These are the headers that RFC 3834 names, and not
    those of single vendors.

    https://www.rfc-editor.org/rfc/rfc3834
    """
    if mail["headersTruncated"]:
        return "too many headers"
    headers = [
        (one["name"].lower(), _COMMENT.sub("", one["value"]).strip().lower()) for one in mail["headers"]
    ]
    named = [one["value"] for one in mail["headers"] if one["name"].lower() in _ADDRESSES]
    own = {address.lower() for address in receipt["recipients"]}
    senders = {mail["source"].lower(), *(address.lower() for _name, address in getaddresses(named))}
    if any(name == "auto-submitted" and value.split(";")[0].strip() != "no" for name, value in headers):
        return "auto-submitted"
    if any(name.startswith("list-") or (name == "precedence" and value in _BULK) for name, value in headers):
        return "mailing list"
    bounces = ("return-path", "<>") in headers or any(
        name == "content-type" and value.startswith("multipart/report") for name, value in headers
    )
    if (
        bounces
        or mail["source"].strip("<>") == ""
        or any(one.startswith("mailer-daemon@") for one in senders)
    ):
        return "bounce"
    if senders & own:
        return "from this address itself"
    if _status(receipt, "spamVerdict") != "PASS":
        return "not checked for spam"
    dmarc, checks = _status(receipt, "dmarcVerdict"), ("spfVerdict", "dkimVerdict")
    aligned = dmarc == "GRAY" and any(
        _status(receipt, check) == "PASS" for check in checks
    )  # without a policy
    return None if dmarc == "PASS" or aligned else "sender not verified"


def summary_of(content: bytes) -> dict[str, Any]:
    """Return subject, text and number of attachments of a mail.

    Raises:
        Unreadable: It has no headers, too many parts, or its text has an unknown encoding.
    """
    if content.count(b"\n--") + content.count(b"\r--") > _MOST_PARTS:
        raise Unreadable(f"it has more than {_MOST_PARTS:,} parts")
    try:
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        if not message.keys():
            raise Unreadable("it has no headers")
        body = message.get_body(preferencelist=("plain", "html"))
        text = "" if body is None else body.get_content()
        subject = str(message["subject"] or "")
        attachments = sum(1 for _ in message.iter_attachments())
    except Unreadable:
        raise
    except Exception as reason:  # the parser raises errors of many kinds, depending on what is malformed
        raise Unreadable(f"its MIME is malformed: {reason!r}") from None
    return {
        "subject": _CONTROL.sub(" ", _storable(subject))[:200],  # a line end could become another header
        "text": _storable(text.strip())[:_LONGEST_TEXT],
        "attachments": attachments,
    }


def _storable(text: str) -> str:
    """Replace what cannot be written in UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _stored(message_id: str) -> bytes:
    """Read a mail: the event has neither its body nor where it is stored."""
    key = f"{os.environ['KEY_PREFIX']}{message_id}"
    answer = _s3.get_object(Bucket=os.environ["BUCKET_NAME"], Key=key)
    if answer["ContentLength"] > _LARGEST:
        raise Unreadable(f"it has {answer['ContentLength']:,} bytes; {_LARGEST:,} are read")
    content: bytes = answer["Body"].read()
    return content


def _parts(event: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    (record,) = event["Records"]  # SES invokes the function for one mail
    return record["ses"]["mail"], record["ses"]["receipt"]


def _refused(receipt: dict[str, Any]) -> list[str]:
    return [name for name in ("virusVerdict", "spamVerdict") if _status(receipt, name) == "FAIL"]


def _status(receipt: dict[str, Any], verdict: str) -> str:
    status: str = receipt.get(verdict, {}).get("status", "")
    return status
