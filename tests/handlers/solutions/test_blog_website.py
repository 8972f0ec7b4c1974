"""Posts and sign-ups of the blog, and the ledger that decides which mail is sent."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from moto import mock_aws

from scenarios.support.redrive import FailedEvent, parse
from solutions.blog_website.ledger import InDoubt
from tests.handlers.importing import import_handler
from tests.handlers.records import dynamodb_record
from tests.handlers.tables import make_table

CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
    aws_request_id="r",
    get_remaining_time_in_millis=lambda: 60_000,
)
ENVIRONMENT = {
    "POSTS_TABLE_NAME": "posts",
    "SUBSCRIBERS_TABLE_NAME": "subscribers",
    "LEDGER_TABLE_NAME": "ledger",
    "FAILURE_QUEUE_URL": "https://sqs/failures",
    "PATIENCE": str(10**12),  # the changes of the tests are old
    "PICTURE_SIZES": "320,960",
    "SENDER": "blog@example.com",
    "SITE_URL": "https://d1.cloudfront.net/",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
KEYS = {"posts": ["blog", "id"], "subscribers": ["email"], "ledger": ["change"]}


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    """A client, with empty tables."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        client = boto3.client("dynamodb", region_name="eu-west-1")
        for table, keys in KEYS.items():
            make_table(client, table, *keys)
        yield client


@pytest.fixture
def api(dynamodb: object) -> ModuleType:
    """The module behind the API."""
    return import_handler("solutions.blog_website.handler", ENVIRONMENT)


def answer(api: ModuleType, route: str, **event: Any) -> tuple[int, Any]:
    """Send a request of the API; return the status and the body."""
    found = api.handler({"routeKey": route, **event}, CONTEXT)
    return found["statusCode"], json.loads(found["body"])


def sign_up(api: ModuleType, body: bytes) -> tuple[int, Any]:
    encoded = base64.b64encode(body).decode()
    return answer(api, "POST /api/subscribers", body=encoded, isBase64Encoded=True)


def test_posts_come_newest_first_in_pages_without_their_texts(api: ModuleType, dynamodb: Any) -> None:
    for number in range(12):
        texts = {
            "blog": "main",
            "id": f"{number:02}",
            "title": "t",
            "text": "long",
            "picture": "pictures/a ☕",
        }
        dynamodb.put_item(TableName="posts", Item={name: {"S": value} for name, value in texts.items()})
    status, first = answer(api, "GET /api/posts")
    assert (status, [one["id"] for one in first["posts"]][:2], first["next"]) == (200, ["11", "10"], "02")
    assert first["posts"][0] == {
        "id": "11",
        "title": "t",
        "picture": {
            "320": "/pictures/a%20%E2%98%95/320.webp",
            "960": "/pictures/a%20%E2%98%95/960.webp",
        },
    }
    status, second = answer(api, "GET /api/posts", queryStringParameters={"before": first["next"]})
    assert ([one["id"] for one in second["posts"]], second["next"]) == (["01", "00"], None)
    assert answer(api, "GET /api/posts", queryStringParameters={"before": "é" * 513})[0] == 400


def test_a_full_page_is_the_last_one_if_nothing_follows(api: ModuleType, dynamodb: Any) -> None:
    for number in range(20):
        item = {"blog": {"S": "main"}, "id": {"S": f"{number:02}"}}
        dynamodb.put_item(TableName="posts", Item=item)
    _, first = answer(api, "GET /api/posts")
    assert first["next"] == "10"
    _, last = answer(api, "GET /api/posts", queryStringParameters={"before": first["next"]})
    assert (len(last["posts"]), last["next"]) == (10, None)


def test_a_page_has_ten_posts_however_large_they_are(api: ModuleType, dynamodb: Any) -> None:
    for number in range(12):
        texts = {"blog": "main", "id": f"{number:02}", "text": "x" * 390_000}
        dynamodb.put_item(TableName="posts", Item={name: {"S": value} for name, value in texts.items()})
    _, first = answer(api, "GET /api/posts")
    assert ([one["id"] for one in first["posts"]][::9], first["next"]) == (["11", "02"], "02")


def test_a_post_has_its_text(api: ModuleType, dynamodb: Any) -> None:
    texts = {"blog": "main", "id": "a", "title": "t", "text": "long"}
    dynamodb.put_item(TableName="posts", Item={name: {"S": value} for name, value in texts.items()})
    assert answer(api, "GET /api/posts/{id}", pathParameters={"id": "a"})[1]["text"] == "long"
    for unknown in ("b", "é" * 513):
        assert answer(api, "GET /api/posts/{id}", pathParameters={"id": unknown})[0] == 404


def test_a_mailbox_has_one_row_and_the_answer_does_not_say_so(api: ModuleType, dynamodb: Any) -> None:
    first, second = (
        sign_up(api, json.dumps({"email": email}).encode())
        for email in (" Ann@Example.com", "ann@example.com")
    )
    assert first == second
    assert first[0] == 202
    rows = dynamodb.scan(TableName="subscribers")["Items"]
    assert [row["email"] for row in rows] == [{"S": "ann@example.com"}]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"no JSON", b"[]", b"{}", b'{"email": 1}', b'{"email": null}', b"\xff", b"[" * 9_999),
        *(
            json.dumps({"email": email}).encode()
            for email in (
                *("", "ann", "ann@", "@example.com", "ann@localhost", "ann@exa mple.com", "ann@-a.example"),
                *("a..n@example.com", ".ann@example.com", "ann@example.com,ben@example.com"),
                *("Ann <ann@example.com>", "änn@example.com", "ann@exämple.com", "ann@example.1"),
                *(f"{'a' * 65}@example.com", f"a@{'b' * 64}.example", f"a@{'b.' * 130}example"),
            )
        ),
    ],
)
def test_what_is_no_address_is_refused(api: ModuleType, dynamodb: Any, body: bytes) -> None:
    status, said = sign_up(api, body)
    assert status == 400, body
    assert said["message"]
    assert not dynamodb.scan(TableName="subscribers")["Items"]


# --- Mails


class Mails:
    """SES as the handler sees it: takes mails, unless it has an error to raise."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.error: BaseException | None = None

    def send_email(self, *, Destination: Any, **mail: Any) -> Any:  # noqa: N803 - as in boto3
        assert mail["FromEmailAddress"] == "blog@example.com"
        error, self.error = self.error, None
        if error:
            raise error
        self.sent += Destination["ToAddresses"]
        return {"MessageId": f"m{len(self.sent)}"}


class Failures:
    """The failure queue as the handler sees it."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, body: str) -> None:
        self.messages.append(body)

    @property
    def events(self) -> list[FailedEvent]:
        """What a redrive reads in the messages."""
        return [parse({"Body": body}) for body in self.messages]


@pytest.fixture
def welcome(dynamodb: object) -> ModuleType:
    """The module that reads the stream, with a SES and a failure queue of the test."""
    module: Any = import_handler("solutions.blog_website.welcome", ENVIRONMENT)
    module.ses, module.failure_queue = Mails(), Failures()
    return module  # type: ignore[no-any-return]


def insertion(number: int, email: str = "") -> Any:
    email = email or f"{number}@example.com"
    return dynamodb_record(number, {"email": {"S": email}}, None, {"email": {"S": email}})


def number(record: Any) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def deliver(welcome: Any, *records: Any) -> list[str]:
    """Deliver a batch; return what the response names."""
    failed = welcome.handler({"Records": records}, CONTEXT)["batchItemFailures"]
    return [one["itemIdentifier"] for one in failed]


def states(dynamodb: Any) -> dict[str, str]:
    return {row["address"]["S"]: row["state"]["S"] for row in dynamodb.scan(TableName="ledger")["Items"]}


def http_error(code: str, status: int) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "SendEmail")


def test_a_change_is_mailed_once_however_often_it_comes(welcome: Any, dynamodb: Any) -> None:
    one, two = insertion(1), insertion(2)
    assert [deliver(welcome, *batch) for batch in ([one], [one, two], [one], [two, two])] == [[]] * 4
    assert welcome.ses.sent == ["1@example.com", "2@example.com"]
    assert set(states(dynamodb).values()) == {"sent"}


def test_who_comes_back_is_greeted_again(welcome: Any) -> None:
    deliver(welcome, insertion(1, "ann@example.com"), insertion(2, "ann@example.com"))
    assert welcome.ses.sent == ["ann@example.com"] * 2


WAITING = [
    *(http_error(code, 429) for code in ("TooManyRequestsException", "ThrottlingException")),
    http_error("LimitExceededException", 400),
    EndpointConnectionError(endpoint_url="https://email"),
    ConnectTimeoutError(endpoint_url="https://email"),
]


@pytest.mark.parametrize("error", WAITING, ids=lambda error: str(error)[:40])
def test_a_throttled_mail_waits_with_those_after_it(welcome: Any, dynamodb: Any, error: Exception) -> None:
    first, second, third = insertion(1), insertion(2), insertion(3)
    deliver(welcome, first)
    welcome.ses.error = error
    assert deliver(welcome, first, second, third) == [number(second)]
    assert (welcome.ses.sent, states(dynamodb)) == (["1@example.com"], {"1@example.com": "sent"})
    assert deliver(welcome, second, third) == []
    assert welcome.ses.sent == ["1@example.com", "2@example.com", "3@example.com"]
    assert welcome.failure_queue.messages == []


@pytest.mark.parametrize("error", WAITING, ids=lambda error: str(error)[:40])
def test_a_mail_that_waited_for_too_long_can_be_redriven(
    welcome: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(welcome, "PATIENCE", 0)
    welcome.ses.error = error
    assert deliver(welcome, insertion(1), insertion(2)) == []
    assert welcome.ses.sent == ["2@example.com"]
    (failed,) = welcome.failure_queue.events
    assert (failed.of_stream, failed.function, failed.reason) == (
        True,
        "f",
        f"{type(error).__name__}: {error}",
    )
    for _ in range(2):  # SQS may deliver a message twice
        assert welcome.handler(failed.event, CONTEXT) == {"batchItemFailures": []}
    assert welcome.ses.sent == ["2@example.com", "1@example.com"]


@pytest.mark.parametrize(
    "error",
    [
        http_error("MessageRejected", 400),
        http_error("AccessDeniedException", 403),
        http_error("SendingPausedException", 400),
    ],
    ids=lambda error: str(error)[:60],
)
def test_what_ses_refuses_does_not_hold_up_others(welcome: Any, dynamodb: Any, error: Exception) -> None:
    welcome.ses.error = error
    assert deliver(welcome, insertion(1), insertion(2)) == []
    assert (welcome.ses.sent, states(dynamodb)) == (["2@example.com"], {"2@example.com": "sent"})
    (failed,) = welcome.failure_queue.events
    assert failed.reason == f"NotAccepted: {error}"
    assert deliver(welcome, *failed.event["Records"]) == []  # after its cause was mended
    assert welcome.ses.sent == ["2@example.com", "1@example.com"]


@pytest.mark.parametrize(
    "error",
    [
        http_error("InternalServiceErrorException", 500),
        ReadTimeoutError(endpoint_url="https://email"),
        SystemExit(),  # the environment dies
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_in_doubt_is_not_sent_again(welcome: Any, dynamodb: Any, error: BaseException) -> None:
    welcome.ses.error = error
    if isinstance(error, Exception):
        assert deliver(welcome, insertion(1)) == [number(insertion(1))]
    else:
        with pytest.raises(SystemExit):
            welcome.handler({"Records": [insertion(1)]}, CONTEXT)
    assert deliver(welcome, insertion(1), insertion(2)) == []
    assert [failed.reason.partition(":")[0] for failed in welcome.failure_queue.events] == [InDoubt.__name__]
    assert welcome.ses.sent == ["2@example.com"]
    assert states(dynamodb) == {"1@example.com": "sending", "2@example.com": "sent"}


def test_a_mail_whose_row_could_not_be_closed_is_not_sent_again(
    welcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the table is away")

    with monkeypatch.context() as patch:
        patch.setattr(welcome.ledger, "close", fails)
        assert deliver(welcome, insertion(1)) == [number(insertion(1))]
    assert deliver(welcome, insertion(1), insertion(2)) == []
    assert len(welcome.failure_queue.messages) == 1
    assert welcome.ses.sent == ["1@example.com", "2@example.com"]


def test_the_ledger_remembers_a_mail_for_longer_than_the_failure_queue_has_its_change(
    welcome: Any, dynamodb: Any
) -> None:
    before = int(time.time())
    deliver(welcome, insertion(1))
    (row,) = dynamodb.scan(TableName="ledger")["Items"]
    assert int(row["forget_at"]["N"]) - before > 14 * 86_400


def test_a_batch_without_time_sends_nothing(welcome: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONTEXT, "get_remaining_time_in_millis", lambda: 1_000)
    assert deliver(welcome, insertion(1), insertion(2)) == [number(insertion(1))]
    assert (welcome.ses.sent, welcome.failure_queue.messages) == ([], [])
