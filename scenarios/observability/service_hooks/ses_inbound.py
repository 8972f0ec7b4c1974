"""The part of the scenario about mail: SES asks, stores and invokes, as its receipt rule says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from scenarios.framework import Covered, DeployedStack, Story, require
from scenarios.observability.service_hooks.rows import Rows, arn_of, rows_of_run
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.faults import Faults
from scenarios.support.redrive import redrive

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::SES::ReceiptRule.Rule.Recipients": "the scenario sends mail to the rule, whatever its recipients",
    "AWS::SES::ReceiptRule.Rule.ScanEnabled": "the scenario gives each mail the verdicts of a scan",
}

_SES = "ses.amazonaws.com"
_FIRST_MAIL = "AMAZON_SES_SETUP_NOTIFICATION"
_MAIL = """\
From: Jo <{sender}>
To: help@example.com
Subject: =?utf-8?q?Wo_bleibt_mein_Kaffee=3F_=E2=98=95?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=part
{more}
--part
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Bestellung 4711 fehlt. Schöne Grüße
--part
Content-Type: image/png; name=receipt.png
Content-Disposition: attachment; filename=receipt.png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--part--
"""


class Mailroom:
    """Does with the mail of one run what SES does.

    Args:
        stack: The deployed stack, on the embedded AWS.
        rows: The rows of this run.
    """

    def __init__(self, stack: DeployedStack, rows: Rows) -> None:
        assert stack.deliver_as is not None
        self._stack, self.rows, self._deliver_as = stack, rows, stack.deliver_as
        self._screen, self._function = (
            arn_of(stack, f"Ses{name}Name") for name in ("ScreenFunction", "Function")
        )
        _, partition, _, region, account, *_ = self._function.split(":")
        place = f"arn:{partition}:ses:{region}:{account}"
        self._rule_set = stack.output("SesRuleSetName")
        self._rule = f"{place}:receipt-rule-set/{self._rule_set}:receipt-rule/{stack.output('SesRuleName')}"
        self._bucket = f"arn:{partition}:s3:::{stack.output('SesBucketName')}"
        self._count = 0
        self.failed = FailureQueue(
            stack, stack.output("SesFailureQueueUrl"), lambda one: rows.run_id in json.dumps(one.event)
        )

    def send(
        self, *, sender: str = "jo@example.org", raw: str | None = None, header: str = "", **verdicts: str
    ) -> tuple[str, str]:
        """Let SES receive a mail; return its id and what the screen decided."""
        self._count += 1
        message_id = f"{self.rows.run_id}{self._count:04}"
        raw = _MAIL.format(sender=sender, more=f"{header}\n" if header else "") if raw is None else raw
        event = self._event(message_id, sender, header, verdicts)
        answer = self._invoke(self._screen, event, "RequestResponse")
        disposition: str = answer.payload["disposition"]
        if disposition == "CONTINUE":
            self.store(message_id, raw)
            self._invoke(self._function, event, "Event")
        return message_id, disposition

    def store(self, message_id: str, raw: str) -> None:
        """Write a mail into the bucket."""
        self._deliver_as(_SES, self._rule, f"{self._bucket}/mail/{message_id}", raw.replace("\n", "\r\n"))

    def invoke_again(self, message_id: str) -> None:
        """Invoke the function for a mail once more: asynchronous events may come twice."""
        self._invoke(self._function, self._event(message_id, "jo@example.org", "", {}), "Event")

    def _invoke(self, function: str, event: Mapping[str, Any], how: str) -> Any:
        return self._deliver_as(_SES, self._rule, function, event, invocation_type=how)

    def _event(
        self, message_id: str, sender: str, header: str, verdicts: Mapping[str, str]
    ) -> dict[str, Any]:
        """https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda-event.html."""
        headers = [{"name": "From", "value": f"Jo <{sender}>"}, {"name": "To", "value": "help@example.com"}]
        if header:
            name, _, value = header.partition(": ")
            headers.append({"name": name, "value": value})
        mail = {
            "timestamp": "2026-11-27T12:00:00.000Z",
            "source": sender,
            "messageId": message_id,
            "destination": ["help@example.com"],
            "headersTruncated": False,
            "headers": headers,
            "commonHeaders": {"returnPath": sender, "from": [f"Jo <{sender}>"], "to": ["help@example.com"]},
        }
        receipt: dict[str, Any] = {
            "timestamp": "2026-11-27T12:00:00.000Z",
            "processingTimeMillis": 500,
            "recipients": ["help@example.com"],
            "action": {"type": "Lambda", "functionArn": self._function, "invocationType": "Event"},
        }
        for kind in ("spam", "virus", "spf", "dkim", "dmarc"):
            receipt[f"{kind}Verdict"] = {"status": verdicts.get(kind, "PASS")}
        ses = {"mail": mail, "receipt": receipt}
        return {"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": ses}]}

    def row(self, message_id: str) -> dict[str, str]:
        """Wait for the ticket of a mail."""
        return self.rows.wait_for(f"mail#{message_id}")

    def stored(self) -> list[str]:
        """The keys of this run in the bucket."""
        return [key for key in keys_in(self._stack) if self.rows.run_id in key]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Activate the rule set: the step that CloudFormation cannot do."""
        ses = self._stack.client("ses")
        ses.set_active_receipt_rule_set(RuleSetName=self._rule_set)
        try:
            found = ses.describe_active_receipt_rule_set()
            require(found["Metadata"]["Name"] == self._rule_set, f"the active rule set is {found}")
            yield
        finally:
            ses.set_active_receipt_rule_set()

    def close(self) -> None:
        """Delete the mails and the failures of this run."""
        for key in self.stored():
            self._stack.client("s3").delete_object(Bucket=self._stack.output("SesBucketName"), Key=key)
        self.failed.close()


def keys_in(stack: DeployedStack) -> list[str]:
    """The keys in the bucket, without that of the mail with which SES tries it."""
    pages = stack.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.output("SesBucketName"))
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    return [key for key in keys if not key.endswith(_FIRST_MAIL)]


@contextmanager
def _mailroom(stack: DeployedStack) -> Iterator[Mailroom]:
    with rows_of_run(stack) as rows:
        room = Mailroom(stack, rows)
        try:
            yield room
        finally:
            room.close()


def run(stack: DeployedStack, story: Story) -> None:
    """Mail of a customer, spam and a virus, automatic mail, and mail that cannot be read.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    if stack.deliver_as is None:
        story.say("SES: not shown. Only SES itself can send the events of mail.")
        return
    with _mailroom(stack) as room, room.active():
        unreadable, _ = room.send(raw="")
        mail, _ = room.send()
        room.invoke_again(mail)
        ticket = room.row(mail)
        require(ticket["action"] == "reply" and "Schöne Grüße" in ticket["text"], f"the ticket is {ticket}")
        require(ticket["attachments"] == "1" and "Kaffee? ☕" in ticket["subject"], f"it is {ticket}")
        stopped = [room.send(spam="FAIL"), room.send(virus="FAIL")]
        require({how for _, how in stopped} == {"STOP_RULE_SET"}, f"the dispositions are {stopped}")
        silent = {
            "auto-submitted": room.send(header="Auto-Submitted: auto-replied"),
            "mailing list": room.send(header="Precedence: bulk"),
            "from this address itself": room.send(sender="help@example.com"),
            "sender not verified": room.send(dmarc="FAIL"),
        }
        for reason, (message_id, _) in silent.items():
            require(room.row(message_id)["action"] == f"no reply: {reason}", f"not: {reason}")
        unscanned, _ = room.send(virus="PROCESSING_FAILED")
        require("not opened" in room.row(unscanned)["action"], "mail that was not scanned was opened")
        (failed,) = room.failed.wait_for(1)
        require("it has no headers" in failed.reason, f"the queue has {failed}")
        require(any(unreadable in key for key in room.stored()), "the unreadable mail is gone")
        kept = [key for key in room.stored() if any(message_id in key for message_id, _ in stopped)]
        require(not kept, f"stored although it was stopped: {kept}")
        story.fact("tickets that get a reply", 1)
        story.fact("mails that get none", len(silent))
        story.fact("mails that were never stored", len(stopped))
    story.say("SES: a mail with an attachment is a ticket. Spam and a virus were stopped before they were")
    story.say(
        "     stored. Automatic mail, mail from a list, from the address itself and from a forged sender"
    )
    story.say(
        "     gets no reply. Mail that cannot be read is in the failure queue, and still in the bucket."
    )


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """SES without its permissions, and the function without its own.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    with _mailroom(stack) as room:
        function = stack.output("SesFunctionName")
        refused = []
        with _closed_bucket(stack):
            refused.append(_refusal(lambda: room.store("refused", "To: help\n\n")))
        with faults.not_admitting(function, _SES):
            refused.append(_refusal(lambda: room.invoke_again("refused")))
        require(refused == ["AccessDenied", "AccessDeniedException"], f"SES was refused with {refused}")
        with faults.without_permission(faults.role_of(function), "s3:GetObject"):
            mail, _ = room.send()
            (failed,) = room.failed.wait_for(1)
        require("AccessDenied" in failed.reason, f"the queue has {failed}")
        room.failed.release()
        report = redrive(stack.session, queue_url=stack.output("SesFailureQueueUrl"), function_name=function)
        require(room.row(mail)["action"] == "reply", "the mail has no ticket after the redrive")
        story.fact("mails redriven", report.resent)
    story.say("SES: the bucket and the function refuse SES without their permissions. A mail that the")
    story.say("     function could not read has its ticket after a redrive.")


def _refusal(deliver: Any) -> str:
    try:
        deliver()
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return "not refused"


@contextmanager
def _closed_bucket(stack: DeployedStack) -> Iterator[None]:
    """Take the statement about SES out of the bucket policy."""
    s3, bucket = stack.client("s3"), {"Bucket": stack.output("SesBucketName")}
    policy = s3.get_bucket_policy(**bucket)["Policy"]
    document = json.loads(policy)
    rest = [one for one in document["Statement"] if one["Principal"] != {"Service": _SES}]
    require(len(rest) < len(document["Statement"]), f"the bucket policy has no statement about {_SES}")
    s3.put_bucket_policy(**bucket, Policy=json.dumps({**document, "Statement": rest}))
    try:
        yield
    finally:
        s3.put_bucket_policy(**bucket, Policy=policy)


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of both functions.

    Raises:
        ScenarioFailed: The mail has no ticket.
    """
    with _mailroom(stack) as room:
        mail, _ = room.send()
        room.row(mail)


ROLES = (
    # `run` reads the failure queue.
    Covered("SesFunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
    Covered("SesScreenFunctionName", smoke),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the mails in the bucket."""
    return keys_in(stack)
