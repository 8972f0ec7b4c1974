"""What SQS refuses of queues, messages and requests, in AWS's words."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import eventually
from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

Request = dict[str, Any]
VALUE, NAME, ATTRIBUTE = "InvalidParameterValue", "InvalidAttributeName", "InvalidAttributeValue"
OURS = "AWS.SimpleQueueService."
HANDLE = "AQEB" + "A" * 340  # as SQS writes them, for a message that does not exist
PUNCTUATION = "can only include alphanumeric and punctuation characters. 1 to 128 in length."


def name() -> str:
    return f"queue-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def queues(local_aws: LocalAws, _empty_account: None) -> dict[str, str]:
    """A standard queue, one for small messages, and a FIFO queue."""
    sqs, fifo = local_aws.client("sqs"), {"FifoQueue": "true"}
    small = {"MaximumMessageSize": "1024"}
    made = {
        "standard": sqs.create_queue(QueueName=name()),
        "small": sqs.create_queue(QueueName=name(), Attributes=small),
        "fifo": sqs.create_queue(QueueName=f"{name()}.fifo", Attributes=fifo),
    }
    return {kind: queue["QueueUrl"] for kind, queue in made.items()}


def refused(code: str, text: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    assert (error["Code"], text in error["Message"]) == (code, True), error


# --- Messages


def attribute(kind: str = "String", value: Any = "x", *, of: str = "a") -> Request:
    field = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    return {"MessageAttributes": {of: {"DataType": kind, field: value}}}


def traced(header: str) -> Request:
    attribute = {"DataType": "String", "StringValue": header}
    return {"MessageSystemAttributes": {"AWSTraceHeader": attribute}}


def many(count: int) -> Request:
    entry = {"DataType": "String", "StringValue": "x"}
    return {"MessageAttributes": {f"a{number}": entry for number in range(count)}}


RESERVED = "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'."
CHARACTERS = "Message (user) attributes name can only contain"
TYPE = "You must use only the following supported type prefixes: Binary, Number, String."
ANY = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
SMALL = "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
MESSAGES: list[tuple[str, Request, str, str]] = [
    (
        "standard",
        {"DelaySeconds": 901},
        VALUE,
        "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
    ),
    ("standard", {"DelaySeconds": -1}, VALUE, "Value -1 for parameter DelaySeconds is invalid."),
    ("standard", many(11), VALUE, "Number of message attributes [11] exceeds the allowed maximum [10]."),
    ("standard", attribute(of="AWS.x"), VALUE, RESERVED),
    ("standard", attribute(of="amazon.x"), VALUE, RESERVED),
    ("standard", attribute(of=".x"), VALUE, RESERVED),
    ("standard", attribute(of="x."), VALUE, RESERVED),
    ("standard", attribute(of="x..y"), VALUE, RESERVED),
    ("standard", attribute(of="a b"), VALUE, CHARACTERS),
    ("standard", attribute(of="ä"), VALUE, CHARACTERS),
    ("standard", attribute(of="x" * 257), VALUE, "attribute names must be shorter than 256 Bytes"),
    ("standard", attribute("string"), VALUE, f"The type of message (user) attribute 'a' is invalid. {TYPE}"),
    ("standard", attribute("Strings"), VALUE, TYPE),
    ("standard", attribute("String." + "x" * 250), VALUE, "attribute types must be shorter than 256 Bytes"),
    (
        "standard",
        attribute("Number", "abc"),
        VALUE,
        "Can't cast the value of message (user) attribute 'a' to a",
    ),
    ("standard", attribute("Number", ""), VALUE, "'a' must contain a non-empty value of type 'Number'."),
    ("standard", attribute(value=""), VALUE, "'a' must contain a non-empty value of type 'String'."),
    ("standard", attribute("Binary", b""), VALUE, "'a' must contain a non-empty value of type 'Binary'."),
    ("standard", attribute(value="\x00"), VALUE, "attribute 'a' has invalid characters."),
    ("standard", traced("garbage"), VALUE, "'AWSTraceHeader' must be a String with a tracing header"),
    ("standard", {"MessageBody": "\x00"}, "InvalidMessageContents", "Invalid characters found."),
    (
        "standard",
        {"MessageBody": ""},
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
    ),
    ("standard", {"MessageDeduplicationId": "d"}, VALUE, "Reason: The request include parameter that is not"),
    ("standard", {"MessageGroupId": "a b"}, VALUE, f"MessageGroupId {PUNCTUATION}"),
    ("small", {"MessageBody": "x" * 1025}, VALUE, SMALL),
    ("small", {"MessageBody": "x" * 1024, **attribute()}, VALUE, SMALL),
    ("small", attribute("Binary", b"x" * 1024), VALUE, SMALL),
    (
        "fifo",
        {**ANY, "DelaySeconds": 1},
        VALUE,
        "Reason: The request include parameter that is not valid for",
    ),
    ("fifo", {**ANY, "MessageGroupId": "x" * 129}, VALUE, f"MessageGroupId {PUNCTUATION}"),
    ("fifo", {**ANY, "MessageGroupId": "é"}, VALUE, f"MessageGroupId {PUNCTUATION}"),
    ("fifo", {**ANY, "MessageDeduplicationId": "x" * 129}, VALUE, f"MessageDeduplicationId {PUNCTUATION}"),
    ("fifo", {**ANY, "MessageDeduplicationId": ""}, VALUE, f"MessageDeduplicationId {PUNCTUATION}"),
    (
        "fifo",
        {"MessageDeduplicationId": "d"},
        "MissingParameter",
        "must contain the parameter MessageGroupId.",
    ),
    (
        "fifo",
        {"MessageGroupId": "g"},
        VALUE,
        "The queue should either have ContentBasedDeduplication enabled",
    ),
]


@pytest.mark.parametrize(("queue", "message", "code", "text"), MESSAGES)
def test_a_message_is_refused(
    local_aws: LocalAws, queues: dict[str, str], queue: str, message: Request, code: str, text: str
) -> None:
    request = {"QueueUrl": queues[queue], "MessageBody": "x", **message}
    refused(code, text, local_aws.client("sqs").send_message, **request)


def test_a_message_at_the_limits_is_accepted(local_aws: LocalAws, queues: dict[str, str]) -> None:
    def send(queue: str, **message: Any) -> None:
        local_aws.client("sqs").send_message(QueueUrl=queues[queue], **{"MessageBody": "x", **message})

    attributes = {
        **many(9)["MessageAttributes"],
        **attribute("Number.float", "-1.5e3", of="x" * 256)["MessageAttributes"],
    }
    send("standard", DelaySeconds=900, MessageAttributes=attributes, MessageGroupId="fair")
    send("small", MessageBody="x" * 1016, **attribute())
    send("fifo", DelaySeconds=0, MessageGroupId="!" * 128, MessageDeduplicationId="~" * 128)


# --- Batches


def entries(*ids: str, **message: Any) -> Request:
    return {"Entries": [{"Id": one, "MessageBody": "x", **message} for one in ids]}


BATCHES: list[tuple[str, Request, str, str]] = [
    (
        "standard",
        entries(),
        f"{OURS}EmptyBatchRequest",
        "There should be at least one SendMessageBatchRequestEntry",
    ),
    (
        "standard",
        entries(*"abcdefghijk"),
        f"{OURS}TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
    ),
    ("standard", entries("a", "a"), f"{OURS}BatchEntryIdsNotDistinct", "Id a repeated."),
    (
        "standard",
        entries("a.b"),
        f"{OURS}InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric",
    ),
    ("standard", entries("a" * 81), f"{OURS}InvalidBatchEntryId", "It can be at most 80 letters long."),
    (
        "standard",
        entries("a", "b", MessageBody="x" * 524_281, **attribute()),
        f"{OURS}BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048578 bytes.",
    ),
    (
        "fifo",
        entries("a", MessageGroupId="g"),
        VALUE,
        "The queue should either have ContentBasedDeduplication",
    ),
    ("fifo", entries("a", MessageDeduplicationId="d"), VALUE, "must contain the parameter MessageGroupId."),
]


@pytest.mark.parametrize(("queue", "batch", "code", "text"), BATCHES)
def test_a_batch_is_refused(
    local_aws: LocalAws, queues: dict[str, str], queue: str, batch: Request, code: str, text: str
) -> None:
    refused(code, text, local_aws.client("sqs").send_message_batch, QueueUrl=queues[queue], **batch)


def test_a_refused_message_costs_only_its_entry(local_aws: LocalAws, queues: dict[str, str]) -> None:
    wanted = [{"Id": "late", "MessageBody": "x", "DelaySeconds": 901}, {"Id": "good", "MessageBody": "x"}]
    wanted.append({"Id": "many", "MessageBody": "x", **many(11)})
    wanted.append({"Id": "trace", "MessageBody": "x", **traced("garbage")})
    answer = local_aws.client("sqs").send_message_batch(QueueUrl=queues["standard"], Entries=wanted)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert {entry["Id"]: entry["Code"] for entry in answer["Failed"]} == dict.fromkeys(
        ("late", "many", "trace"), VALUE
    )


def test_each_message_of_a_batch_has_its_own_tracing_header(local_aws: LocalAws) -> None:
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName=name())["QueueUrl"]
    headers = [f"Root=1-6a0b1c2d-{letter * 24};Parent={letter * 16};Sampled=1" for letter in "ab"]
    wanted = [{"Id": str(n), "MessageBody": one, **traced(one)} for n, one in enumerate(headers)]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=wanted)
    assert [one["Id"] for one in answer["Successful"]] == ["0", "1"]
    assert all(one["MessageId"] for one in answer["Successful"])
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["AWSTraceHeader"]
    )["Messages"]
    found = {one["Body"]: one["Attributes"]["AWSTraceHeader"] for one in received}
    assert found == {one: one for one in headers}


# --- Receiving


REQUESTS: list[tuple[str, Request, str, str]] = [
    (
        "receive_message",
        {"WaitTimeSeconds": 21},
        VALUE,
        "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
    ),
    ("receive_message", {"WaitTimeSeconds": -1}, VALUE, "Value -1 for parameter WaitTimeSeconds is invalid."),
    ("receive_message", {"MaxNumberOfMessages": 0}, VALUE, "Must be between 1 and 10, if provided."),
    ("receive_message", {"MaxNumberOfMessages": 11}, VALUE, "Value 11 for parameter MaxNumberOfMessages is"),
    ("receive_message", {"VisibilityTimeout": 43_201}, VALUE, "Must be between 0 and 43200, if provided."),
    ("receive_message", {"MessageSystemAttributeNames": ["Size"]}, NAME, "Unknown Attribute Size."),
    ("get_queue_attributes", {"AttributeNames": ["Size"]}, NAME, "Unknown Attribute Size."),
    (
        "change_message_visibility",
        {"ReceiptHandle": HANDLE, "VisibilityTimeout": 43_201},
        VALUE,
        "Reason: VisibilityTimeout must be an integer between 0 and 43200.",
    ),
    (
        "change_message_visibility",
        {"ReceiptHandle": HANDLE, "VisibilityTimeout": 1},
        VALUE,
        "Reason: Message does not exist or is not available for visibility timeout change.",
    ),
    (
        "change_message_visibility",
        {"ReceiptHandle": "x", "VisibilityTimeout": 1},
        "ReceiptHandleIsInvalid",
        'The input receipt handle "x" is not a valid receipt handle.',
    ),
    (
        "delete_message",
        {"ReceiptHandle": "x"},
        "ReceiptHandleIsInvalid",
        'The input receipt handle "x" is not a valid receipt handle.',
    ),
]


@pytest.mark.parametrize(("call", "request_", "code", "text"), REQUESTS)
def test_a_request_is_refused(
    local_aws: LocalAws, queues: dict[str, str], call: str, request_: Request, code: str, text: str
) -> None:
    refused(code, text, getattr(local_aws.client("sqs"), call), QueueUrl=queues["standard"], **request_)


def test_a_visibility_timeout_ends_twelve_hours_after_the_receipt(local_aws: LocalAws) -> None:
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName=name())["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    message = {
        "QueueUrl": url,
        "ReceiptHandle": sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"],
    }
    sqs.change_message_visibility(**message, VisibilityTimeout=43_100)
    beyond = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    refused(VALUE, beyond, sqs.change_message_visibility, **message, VisibilityTimeout=43_200)
    sqs.change_message_visibility(**message, VisibilityTimeout=0)
    change = sqs.change_message_visibility
    refused(f"{OURS}MessageNotInflight", "isn't in flight", change, **message, VisibilityTimeout=1)


def test_a_message_can_be_deleted_again_but_not_with_an_expired_handle_of_a_fifo_queue(
    local_aws: LocalAws, queues: dict[str, str]
) -> None:
    sqs = local_aws.client("sqs")
    for kind, ids in (("small", {}), ("fifo", ANY)):
        url = queues[kind]
        sqs.purge_queue(QueueUrl=url)
        sqs.send_message(QueueUrl=url, MessageBody="x", **ids)
        message = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"][0]
        handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        if kind == "fifo":
            refused(VALUE, "Reason: The receipt handle has expired.", sqs.delete_message, **handle)
            continue
        sqs.delete_message(**handle)
        sqs.delete_message(**handle)
        batch = [
            {"Id": "again", "ReceiptHandle": handle["ReceiptHandle"]},
            {"Id": "bad", "ReceiptHandle": "x"},
        ]
        answer = sqs.delete_message_batch(QueueUrl=url, Entries=batch)
        assert [entry["Id"] for entry in answer["Successful"]] == ["again"]
        assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"


# --- Queues


def redrive(**policy: Any) -> Request:
    return {"RedrivePolicy": json.dumps(policy)}


def allow(**policy: Any) -> Request:
    return {"RedriveAllowPolicy": json.dumps(policy)}


DEAD = "arn:aws:sqs:us-east-1:123456789012:any"
FIFO = {"FifoQueue": "true"}
QUEUES: list[tuple[str, Request, str, str]] = [
    (
        "x" * 81,
        {},
        VALUE,
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ),
    ("a.b", {}, VALUE, "Can only include alphanumeric characters, hyphens, or underscores."),
    ("a.fifo", {}, VALUE, "Can only include alphanumeric characters, hyphens, or underscores."),
    ("a", FIFO, VALUE, "must end with .fifo suffix and be 1 to 80 in length."),
    ("x" * 76 + ".fifo", FIFO, VALUE, "must end with .fifo suffix and be 1 to 80 in length."),
    ("a", {"FifoQueue": "false"}, NAME, "Unknown Attribute FifoQueue."),
    ("a", {"ContentBasedDeduplication": "true"}, NAME, "Unknown Attribute ContentBasedDeduplication."),
    (
        "a",
        {"DeduplicationScope": "queue"},
        NAME,
        "You can specify the DeduplicationScope only when FifoQueue is",
    ),
    ("a", {"FifoThroughputLimit": "perQueue"}, NAME, "only when FifoQueue is set to true."),
    ("a", {"Size": "1"}, NAME, "Unknown Attribute Size."),
    ("a", {"QueueArn": DEAD}, NAME, "Unknown Attribute QueueArn."),
    ("a", {"VisibilityTimeout": "43201"}, ATTRIBUTE, "Invalid value for the parameter VisibilityTimeout."),
    ("a", {"VisibilityTimeout": "1.5"}, ATTRIBUTE, "Invalid value for the parameter VisibilityTimeout."),
    ("a", {"DelaySeconds": "901"}, ATTRIBUTE, "Invalid value for the parameter DelaySeconds."),
    ("a", {"MaximumMessageSize": "1023"}, ATTRIBUTE, "Invalid value for the parameter MaximumMessageSize."),
    (
        "a",
        {"MaximumMessageSize": "1048577"},
        ATTRIBUTE,
        "Invalid value for the parameter MaximumMessageSize.",
    ),
    (
        "a",
        {"MessageRetentionPeriod": "59"},
        ATTRIBUTE,
        "Invalid value for the parameter MessageRetentionPeriod.",
    ),
    ("a", {"ReceiveMessageWaitTimeSeconds": "21"}, ATTRIBUTE, "parameter ReceiveMessageWaitTimeSeconds."),
    ("a", {"KmsDataKeyReusePeriodSeconds": "59"}, ATTRIBUTE, "parameter KmsDataKeyReusePeriodSeconds."),
    (
        "a",
        {"SqsManagedSseEnabled": "yes"},
        ATTRIBUTE,
        "Invalid value for the parameter SqsManagedSseEnabled.",
    ),
    ("a", {"Policy": "no JSON"}, ATTRIBUTE, "Invalid value for the parameter Policy."),
    (
        "a",
        {"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "alias/aws/sqs"},
        NAME,
        "You can use one type of server-side encryption (SSE) at one time.",
    ),
    (
        "a.fifo",
        {**FIFO, "ContentBasedDeduplication": "yes"},
        ATTRIBUTE,
        "parameter ContentBasedDeduplication.",
    ),
    ("a.fifo", {**FIFO, "DeduplicationScope": "topic"}, ATTRIBUTE, "parameter DeduplicationScope."),
    (
        "a.fifo",
        {**FIFO, "FifoThroughputLimit": "perMessageGroupId"},
        ATTRIBUTE,
        "To set FifoThroughputLimit to perMessageGroupId, the DeduplicationScope must be messageGroup.",
    ),
    ("a", allow(redrivePermission="some"), VALUE, "for parameter RedriveAllowPolicy is invalid."),
    ("a", allow(redrivePermission="byQueue"), VALUE, "for parameter RedriveAllowPolicy is invalid."),
    (
        "a",
        allow(redrivePermission="byQueue", sourceQueueArns=["x"] * 11),
        VALUE,
        "RedriveAllowPolicy is invalid.",
    ),
    ("a", allow(redrivePermission="denyAll", sourceQueueArns=["x"]), VALUE, "RedriveAllowPolicy is invalid."),
    ("a", {"RedrivePolicy": "x"}, VALUE, "Reason: Redrive policy is not a valid JSON map."),
    ("a", redrive(), VALUE, "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
    ("a", redrive(maxReceiveCount=1), VALUE, "does not contain mandatory attribute: deadLetterTargetArn."),
    (
        "a",
        redrive(maxReceiveCount=0, deadLetterTargetArn=DEAD),
        VALUE,
        "Reason: Invalid value for maxReceiveCount.",
    ),
    (
        "a",
        redrive(maxReceiveCount=1001, deadLetterTargetArn=DEAD),
        VALUE,
        "Reason: Invalid value for maxReceiveCount.",
    ),
    (
        "a",
        redrive(maxReceiveCount=1, deadLetterTargetArn="x"),
        VALUE,
        "Invalid value for deadLetterTargetArn.",
    ),
    (
        "a",
        redrive(maxReceiveCount=1, deadLetterTargetArn=DEAD, more=1),
        VALUE,
        "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].",
    ),
]


@pytest.mark.parametrize(("named", "attributes", "code", "text"), QUEUES)
def test_a_queue_is_refused(
    local_aws: LocalAws, queues: dict[str, str], named: str, attributes: Request, code: str, text: str
) -> None:
    sqs, fifo = local_aws.client("sqs"), "FifoQueue" in attributes
    refused(code, text, sqs.create_queue, QueueName=named, Attributes=attributes)
    if named == "a" and not fifo:
        change = sqs.set_queue_attributes
        refused(code, text, change, QueueUrl=queues["standard"], Attributes=attributes)


def test_the_kind_of_a_queue_never_changes(local_aws: LocalAws, queues: dict[str, str]) -> None:
    change = local_aws.client("sqs").set_queue_attributes
    refused(NAME, "Unknown Attribute FifoQueue.", change, QueueUrl=queues["standard"], Attributes=FIFO)
    reason = "Reason: Modifying queue type is not supported."
    refused(ATTRIBUTE, reason, change, QueueUrl=queues["fifo"], Attributes={"FifoQueue": "false"})


def test_a_queue_is_created_again_only_with_its_attributes(local_aws: LocalAws) -> None:
    sqs, named = local_aws.client("sqs"), name()
    url = sqs.create_queue(QueueName=named, Attributes={"DelaySeconds": "1"})["QueueUrl"]
    assert sqs.create_queue(QueueName=named, Attributes={"SqsManagedSseEnabled": "true"})["QueueUrl"] == url
    for attributes in ({"DelaySeconds": "2"}, {"VisibilityTimeout": "31"}, {"SqsManagedSseEnabled": "false"}):
        text = f"with the same name and a different value for attribute {next(iter(attributes))}"
        refused("QueueAlreadyExists", text, sqs.create_queue, QueueName=named, Attributes=attributes)
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": named}}
    with pytest.raises(DeploymentFailedError, match=f"with identifier '{named}' already exists"):
        deploy(local_aws, {"Queue": queue})


def test_a_minute_passes_before_a_queue_is_created_or_purged_again(local_aws: LocalAws) -> None:
    sqs, named = local_aws.client("sqs"), name()
    url = sqs.create_queue(QueueName=named)["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    text = f"Only one PurgeQueue operation on {named} is allowed every 60 seconds."
    refused(f"{OURS}PurgeQueueInProgress", text, sqs.purge_queue, QueueUrl=url)
    sqs.delete_queue(QueueUrl=url)
    text = "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    refused(f"{OURS}QueueDeletedRecently", text, sqs.create_queue, QueueName=named)
    time.sleep(2)  # at least as long as a minute is here
    assert eventually(lambda: sqs.create_queue(QueueName=named))["QueueUrl"] == url


TEMPLATES: list[tuple[Request, str]] = [
    ({"QueueName": "a.fifo"}, "Can only include alphanumeric characters, hyphens, or underscores."),
    ({"FifoQueue": False}, "Unknown Attribute FifoQueue."),
    ({"ContentBasedDeduplication": True}, "Unknown Attribute ContentBasedDeduplication."),
    ({"DelaySeconds": 901}, "Invalid value for the parameter DelaySeconds."),
    ({"FifoQueue": True, "FifoThroughputLimit": "perMessageGroupId"}, "Scope must be messageGroup."),
    (
        {"RedrivePolicy": {"maxReceiveCount": 0, "deadLetterTargetArn": DEAD}},
        "Invalid value for maxReceiveCount",
    ),
]


@pytest.mark.parametrize(("properties", "text"), TEMPLATES)
def test_a_template_is_refused(local_aws: LocalAws, properties: Request, text: str) -> None:
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(local_aws, {"Queue": {"Type": "AWS::SQS::Queue", "Properties": properties}})
    assert text in str(raised.value)


# --- Still needed


def test_the_emulator_still_accepts_any_message(stock_aws: LocalAws) -> None:
    sqs = stock_aws.client("sqs")
    url = sqs.create_queue(QueueName=f"{name()}.fifo", Attributes={"Size": "1"})["QueueUrl"]
    message = {"MessageBody": "x", "MessageGroupId": "a b", "MessageDeduplicationId": "c d"}
    sqs.send_message(QueueUrl=url, **message, **many(11))
    assert "Messages" in sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_201)
