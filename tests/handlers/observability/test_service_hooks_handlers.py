"""The handlers of AWS IoT, SES, Lex and Alexa: what each answers and writes, and what each refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

SKILL = "amzn1.ask.skill.1"
ENVIRONMENT = {
    "TABLE_NAME": "records",
    "BUCKET_NAME": "mail",
    "KEY_PREFIX": "in/",
    "SKILL_ID": SKILL,
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::f", aws_request_id="1"
)


@pytest.fixture
def account() -> Iterator[None]:
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "records", "id")
        boto3.client("s3").create_bucket(
            Bucket="mail", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield


def module(name: str) -> ModuleType:
    return import_handler(f"observability.service_hooks.{name}", ENVIRONMENT)


@pytest.fixture
def iot(account: None) -> ModuleType:
    return module("iot_rule")


@pytest.fixture
def ses(account: None) -> ModuleType:
    return module("ses_inbound")


@pytest.fixture
def depth() -> Iterator[None]:
    """The limit of nested calls that Lambda's Python has, whatever tests before this one have left."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture
def lex(account: None) -> ModuleType:
    return module("lex")


@pytest.fixture
def alexa(account: None) -> ModuleType:
    return module("alexa")


def rows() -> dict[str, dict[str, Any]]:
    items = boto3.resource("dynamodb").Table("records").scan()["Items"]
    return {str(one["id"]): one for one in items}


# --- AWS IoT


def reading(**changed: Any) -> dict[str, Any]:
    return {"device": "oven", "sequence": 7, "temperature": 35.5, "client_id": "n/a", **changed}


def test_a_reading_that_comes_twice_is_one_row(iot: ModuleType) -> None:
    iot.handler(reading(received_at=1), CONTEXT)
    iot.handler(reading(received_at=2), CONTEXT)
    iot.handler(reading(sequence=8), CONTEXT)
    assert set(rows()) == {"reading#oven#7", "reading#oven#8"}
    row = rows()["reading#oven#7"]
    assert (row["temperature"], row["received_at"]) == ("35.5", "1")


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        reading(device=""),
        reading(device="\ud800"),
        reading(device="x" * 129),
        reading(sequence=True),
        reading(sequence=-1),
        reading(sequence="7"),
        reading(sequence=2**63),
        reading(temperature="35"),
        reading(temperature=float("nan")),
        reading(temperature=None),
    ],
    ids=str,
)
def test_what_is_no_reading_is_refused(iot: ModuleType, event: Any) -> None:
    with pytest.raises(iot.NotAReading):
        iot.row_of(event)


# --- SES


def mail(*headers: tuple[str, str], source: str = "jo@example.org", **verdicts: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda-event.html."""
    kinds = ("spam", "virus", "spf", "dkim", "dmarc")
    receipt = {f"{kind}Verdict": {"status": verdicts.get(kind, "PASS")} for kind in kinds}
    return {
        "mail": {
            "messageId": "m1",
            "source": source,
            "headersTruncated": False,
            "headers": [
                {"name": name, "value": value} for name, value in (("From", f"Jo <{source}>"), *headers)
            ],
        },
        "receipt": {**receipt, "recipients": ["help@example.com"]},
    }


def event_of(ses: dict[str, Any]) -> dict[str, Any]:
    return {"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": ses}]}


@pytest.mark.parametrize(
    ("verdicts", "disposition"),
    [
        ({}, "CONTINUE"),
        ({"spam": "FAIL"}, "STOP_RULE_SET"),
        ({"virus": "FAIL"}, "STOP_RULE_SET"),
        ({"spam": "GRAY", "virus": "GRAY"}, "CONTINUE"),
        ({"virus": "PROCESSING_FAILED"}, "CONTINUE"),
        ({"spf": "FAIL", "dkim": "FAIL", "dmarc": "FAIL"}, "CONTINUE"),
    ],
)
def test_only_spam_and_viruses_are_stopped(
    ses: ModuleType, verdicts: dict[str, str], disposition: str
) -> None:
    assert ses.screen(event_of(mail(**verdicts)), CONTEXT) == {"disposition": disposition}


@pytest.mark.parametrize(
    ("ses_part", "reason"),
    [
        (mail(), None),
        (mail(("Auto-Submitted", "no")), None),
        (mail(("Precedence", "first-class")), None),
        (mail(("auto-submitted", "Auto-Replied; reason=vacation")), "auto-submitted"),
        (mail(("Auto-Submitted", "auto-generated"), ("Auto-Submitted", "no")), "auto-submitted"),
        (mail(("Precedence", " Bulk ")), "mailing list"),
        (mail(("List-Id", "<list.example.org>")), "mailing list"),
        (mail(source=""), "bounce"),
        (mail(source="<>"), "bounce"),
        (mail(source="MAILER-DAEMON@example.org"), "bounce"),
        (mail(source="Help@Example.com"), "from this address itself"),
        (mail(("From", "Help <HELP@example.com>")), "from this address itself"),
        (mail(("From", "a@example.org, help@example.com")), "from this address itself"),
        (mail(("Reply-To", '"Smith, Jo" <help@example.com>')), "from this address itself"),
        (mail(("Auto-Submitted", "no (really)")), None),
        (mail(("Precedence", "bulk (x)")), "mailing list"),
        (mail(("Precedence", "auto_reply")), "mailing list"),
        (mail(("List-Unsubscribe", "<https://example.org>")), "mailing list"),
        (mail(("Return-Path", "<>")), "bounce"),
        (mail(("Content-Type", "multipart/report; report-type=delivery-status")), "bounce"),
        (mail(spam="GRAY"), "not checked for spam"),
        (mail(spam="PROCESSING_FAILED"), "not checked for spam"),
        (mail(dmarc="FAIL"), "sender not verified"),
        (mail(dmarc="PROCESSING_FAILED"), "sender not verified"),
        (mail(dmarc=""), "sender not verified"),
        (mail(dmarc="GRAY", spf="FAIL", dkim="FAIL"), "sender not verified"),
        (mail(dmarc="GRAY", spf="FAIL"), None),
        (mail(dmarc="GRAY", dkim="GRAY"), None),
    ],
)
def test_no_reply_goes_round_in_circles(
    ses: ModuleType, ses_part: dict[str, Any], reason: str | None
) -> None:
    assert ses.why_no_reply(ses_part["mail"], ses_part["receipt"]) == reason


def test_headers_that_ses_has_cut_off_are_no_reason_to_reply(ses: ModuleType) -> None:
    found = mail()
    found["mail"]["headersTruncated"] = True
    assert ses.why_no_reply(found["mail"], found["receipt"]) == "too many headers"


def store(content: bytes) -> None:
    boto3.client("s3").put_object(Bucket="mail", Key="in/m1", Body=content)


def test_a_stored_mail_is_one_ticket(ses: ModuleType) -> None:
    store(b"Subject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: text/html; charset=latin-1\r\n\r\n<b>caf\xe9</b>")
    for _ in range(2):
        ses.handler(event_of(mail()), CONTEXT)
    row = {"id": "mail#m1", "from": "jo@example.org", "subject": "café", "text": "<b>café</b>"}
    assert rows() == {"mail#m1": {**row, "attachments": 0, "action": "reply"}}


def test_a_subject_has_one_line(ses: ModuleType) -> None:
    found = ses.summary_of(b"Subject: =?utf-8?q?Hi=0D=0ABcc:_victim@example.org?=\n\n")
    assert found["subject"] == "Hi Bcc: victim@example.org"


def test_a_mail_that_was_not_scanned_is_not_opened(ses: ModuleType) -> None:
    for status in ("GRAY", "PROCESSING_FAILED", "DISABLED"):
        found = mail(virus=status)
        found["mail"]["messageId"] = status
        ses.handler(event_of(found), CONTEXT)  # and there is nothing in the bucket
    assert {one["action"][:10] for one in rows().values()} == {"not opened"}
    assert len(rows()) == 3


def test_what_the_screen_could_not_stop_is_not_opened_either(ses: ModuleType) -> None:
    ses.handler(event_of(mail(spam="FAIL")), CONTEXT)
    assert rows()["mail#m1"]["action"] == "not opened: spamVerdict"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Subject: a\n\n\x00\xff", "\x00\ufffd"),
        (b"Subject: a\nContent-Type: multipart/mixed\n\nno boundary", ""),
        (b"Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhalf", "half"),
        (
            b"Subject: a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n!!!",
            "",
        ),
        (b"Subject: a\nContent-Type: image/png\n\n\x89PNG", ""),
        (b"Subject: a\n\n" + b"x" * 5_000, "x" * 1_000),
    ],
)
def test_malformed_mail_has_the_text_that_can_be_read(ses: ModuleType, content: bytes, expected: str) -> None:
    summary = ses.summary_of(content)
    assert summary["subject"] == "a"
    assert summary["text"] == expected.strip()
    str(summary).encode()  # DynamoDB takes what is UTF-8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\nno headers",
        b"Content-Type: text/plain; charset=klingon\n\n\xff",
        b"\xff\xfe\x00",
        b"Content-Type: multipart/mixed; boundary=x\n" + b"\n--x\n" * 20_000,
        b"Content-Type: message/rfc822\n\n" * 2_000,
        b"Content-Type: " + b"(" * 5_000 + b"\n\n",
    ],
    ids=range(7),
)
def test_mail_that_cannot_be_read_costs_this_mail_only(ses: ModuleType, content: bytes, depth: None) -> None:
    store(content)
    with pytest.raises(ses.Unreadable):
        ses.handler(event_of(mail()), CONTEXT)
    assert rows() == {}


def test_a_huge_mail_is_not_read(ses: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ses, "_LARGEST", 10)
    store(b"Subject: a\n\n")
    with pytest.raises(ses.Unreadable, match="it has 12 bytes; 10 are read"):
        ses.handler(event_of(mail()), CONTEXT)


# --- Lex


def turn(hook: str, size: str | None, name: str = "OrderCoffee") -> dict[str, Any]:
    """https://docs.aws.amazon.com/lexv2/latest/dg/lambda-input-format.html."""
    slot = None if size is None else {"shape": "Scalar", "value": {"originalValue": size}}
    intent = {"name": name, "slots": {"Size": slot}, "state": "InProgress", "confirmationState": "None"}
    state = {"intent": intent, "sessionAttributes": {"table": "7"}, "originatingRequestId": "r1"}
    return {"invocationSource": hook, "bot": {"id": "B"}, "sessionState": state}


@pytest.mark.parametrize(
    ("event", "action", "state"),
    [
        (turn("DialogCodeHook", None), "Delegate", "InProgress"),
        (turn("DialogCodeHook", "Large"), "Delegate", "InProgress"),
        (turn("DialogCodeHook", "giant"), "ElicitSlot", "InProgress"),
        (turn("FulfillmentCodeHook", None), "ElicitSlot", "InProgress"),
        (turn("FulfillmentCodeHook", "Large"), "Close", "Fulfilled"),
        (turn("FulfillmentCodeHook", "large", "FallbackIntent"), "Close", "Failed"),
    ],
)
def test_each_turn_of_a_conversation_has_its_answer(
    lex: ModuleType, event: dict[str, Any], action: str, state: str
) -> None:
    answer = lex.handler(event, CONTEXT)["sessionState"]
    assert (answer["dialogAction"]["type"], answer["intent"]["state"]) == (action, state)
    assert answer["sessionAttributes"] == {"table": "7"}
    if action == "ElicitSlot":
        assert answer["dialogAction"]["slotToElicit"] == "Size"
        assert answer["intent"]["slots"]["Size"] is None
    assert len(rows()) == (state == "Fulfilled")


@pytest.mark.parametrize("slots", [None, {}, {"Size": {"shape": "Scalar", "value": None}}])
def test_a_turn_without_a_size_asks_for_it(lex: ModuleType, slots: Any) -> None:
    event = turn("FulfillmentCodeHook", None)
    event["sessionState"]["intent"]["slots"] = slots
    assert lex.handler(event, CONTEXT)["sessionState"]["dialogAction"]["slotToElicit"] == "Size"


def test_an_order_that_the_customer_denies_is_none(lex: ModuleType) -> None:
    event = turn("FulfillmentCodeHook", "large")
    event["sessionState"]["intent"]["confirmationState"] = "Denied"
    answer = lex.handler(event, CONTEXT)
    assert (answer["sessionState"]["intent"]["state"], rows()) == ("Failed", {})
    assert "nothing was ordered" in answer["messages"][0]["content"]


def test_an_order_that_comes_twice_is_one(lex: ModuleType) -> None:
    for _ in range(2):
        answer = lex.handler(turn("FulfillmentCodeHook", "large"), CONTEXT)
        assert answer["messages"] == [
            {"contentType": "PlainText", "content": "One large coffee is on its way."}
        ]
    assert rows() == {"lex#r1": {"id": "lex#r1", "size": "large"}}


def test_an_order_that_cannot_be_taken_is_an_intent_that_failed(lex: ModuleType) -> None:
    boto3.client("dynamodb").delete_table(TableName="records")
    answer = lex.handler(turn("FulfillmentCodeHook", "large"), CONTEXT)
    assert answer["sessionState"]["intent"]["state"] == "Failed"
    assert "could not be taken" in answer["messages"][0]["content"]


# --- Alexa


def request(
    kind: str, *, skill: str = SKILL, at: datetime | str = "when it is sent", **more: Any
) -> dict[str, Any]:
    """https://developer.amazon.com/en-US/docs/alexa/custom-skills/request-and-response-json-reference.html."""
    return {
        "context": {"System": {"application": {"applicationId": skill}}},
        "request": {"type": kind, "requestId": "r1", "timestamp": stamp(at), **more},
    }


def stamp(at: datetime | str) -> str:
    return at if isinstance(at, str) else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def answer_to(event: dict[str, Any], alexa: ModuleType) -> dict[str, Any]:
    """Send a request now: pytest makes parameters when it collects tests, which can be minutes earlier."""
    event["request"]["timestamp"] = stamp(datetime.now(UTC))
    answer: dict[str, Any] = alexa.handler(event, CONTEXT)
    return answer


def intent(name: str, size: str | None = None, **more: Any) -> dict[str, Any]:
    slot = {"name": "Size"} if size is None else {"name": "Size", "value": size}
    return request("IntentRequest", intent={"name": name, "slots": {"Size": slot}, **more})


@pytest.mark.parametrize(
    ("event", "said", "ends"),
    [
        (request("LaunchRequest"), "Welcome", False),
        (intent("OrderCoffee", "Large"), "One large coffee", True),
        (intent("OrderCoffee", "giant"), "There is no giant coffee", False),
        (intent("OrderCoffee"), "What size", False),
        (intent("AMAZON.HelpIntent"), "Welcome", False),
        (intent("AMAZON.StopIntent"), "Goodbye", True),
        (request("Connections.Response"), "I cannot do that", True),
        (intent("OrderCoffee", "large", confirmationStatus="DENIED"), "All right, nothing", True),
        (intent("OrderCoffee", slots=None), "What size", False),
        (intent("OrderCoffee", slots={"Size": None}), "What size", False),
    ],
)
def test_each_request_of_alexa_has_its_speech(
    alexa: ModuleType, event: dict[str, Any], said: str, ends: bool
) -> None:
    answer = answer_to(event, alexa)
    assert answer["version"] == "1.0"
    assert answer["response"]["outputSpeech"]["text"].startswith(said)
    assert answer["response"]["shouldEndSession"] is ends


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("SessionEndedRequest", {}),
        ("System.ExceptionEncountered", {}),
        ("CanFulfillIntentRequest", {"canFulfillIntent": {"canFulfill": "NO"}}),
    ],
)
def test_a_request_that_takes_no_speech_gets_none(
    alexa: ModuleType, kind: str, response: dict[str, Any]
) -> None:
    assert answer_to(request(kind), alexa)["response"] == response
    assert rows() == {}


def test_an_order_by_voice_that_cannot_be_taken_is_an_apology(alexa: ModuleType) -> None:
    boto3.client("dynamodb").delete_table(TableName="records")
    answer = answer_to(intent("OrderCoffee", "large"), alexa)
    assert "could not be taken" in answer["response"]["outputSpeech"]["text"]


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [-150, 0, 150])
def test_a_request_may_be_150_seconds_old(alexa: ModuleType, seconds: int) -> None:
    alexa.check(request("LaunchRequest", at=NOW + timedelta(seconds=seconds)), SKILL, NOW)


@pytest.mark.parametrize(
    "event",
    [
        request("LaunchRequest", at=NOW, skill="amzn1.ask.skill.2"),
        request("LaunchRequest", at=NOW + timedelta(seconds=151)),
        request("LaunchRequest", at=NOW - timedelta(seconds=151)),
        request("LaunchRequest", at="yesterday"),
        request("LaunchRequest", at="2026-11-27T12:00:00"),
        {},
        {"context": None},
    ],
)
def test_other_requests_are_refused(alexa: ModuleType, event: dict[str, Any]) -> None:
    with pytest.raises(alexa.Refused):
        alexa.check(event, SKILL, NOW)
