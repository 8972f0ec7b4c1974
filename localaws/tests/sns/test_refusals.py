"""Messages, topics and subscriptions that SNS refuses."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:any"
Request = dict[str, Any]
STRUCTURE = "Message Structure - "
MESSAGES: list[tuple[dict[str, str], str]] = [
    *(({"Subject": subject}, "Invalid parameter: Subject") for subject in ("x" * 101, "a\nb", "a\x07b")),
    ({"MessageStructure": "json", "Message": '{"sqs": "a"}'}, f"{STRUCTURE}No default entry"),
    ({"MessageStructure": "json", "Message": '{"default": 1}'}, f"{STRUCTURE}No default entry"),
    ({"MessageStructure": "json", "Message": "text"}, f"{STRUCTURE}JSON message body failed to parse"),
]


def topic(aws: LocalAws, *, fifo: bool = False) -> str:
    name, settings = f"topic-{uuid.uuid4().hex[:8]}", {"FifoTopic": "true"} if fifo else {}
    made: str = aws.client("sns").create_topic(Name=name + ".fifo" * fifo, Attributes=settings)["TopicArn"]
    return made


@pytest.mark.parametrize(("message", "text"), MESSAGES)
def test_a_message_is_refused(local_aws: LocalAws, message: dict[str, str], text: str) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws)
    with pytest.raises(ClientError, match=text) as raised:
        sns.publish(TopicArn=arn, **{"Message": "hello", **message})
    assert raised.value.response["Error"]["Code"] == "InvalidParameter"
    entries = [{"Id": "bad", "Message": "hello", **message}, {"Id": "good", "Message": "hello"}]
    answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert answer["Failed"][0]["Code"] == "InvalidParameter"
    sns.publish(
        TopicArn=arn, Message=json.dumps({"default": "a"}), MessageStructure="json", Subject="x" * 100
    )


# --- Message attributes and ids


def attribute(
    kind: str = "String", value: Any = "x", *, of: str = "a", field: str = "StringValue"
) -> Request:
    return {"MessageAttributes": {of: {"DataType": kind, field: value}}}


EMPTY = "The message attribute 'a' must contain non-empty message attribute value for message attribute type"
ATTRIBUTES: list[tuple[Request, str]] = [
    (attribute(of="x" * 256), "Length of message attribute name must be less than 256 bytes."),
    (
        attribute(of="a^b"),
        "Invalid non-alphanumeric character '#x5E' was found in the message attribute name.",
    ),
    (attribute(of=".a"), "Invalid message attribute name starting with character '.' was found."),
    (attribute(of="a."), "Invalid message attribute name ending with character '.' was found."),
    (attribute(of="a..b"), "Message attribute name can not have successive '.' character."),
    (attribute("Strings"), "The message attribute 'a' has an invalid message attribute type, the set of"),
    (attribute(value=""), f"{EMPTY} 'String'."),
    (attribute("Binary", b"", field="BinaryValue"), f"{EMPTY} 'Binary'."),
    (attribute("Binary"), "The message attribute 'a' with type 'Binary' must use field 'Binary'."),
    (
        attribute(value=b"x", field="BinaryValue"),
        "The message attribute 'a' with type 'String' must use field",
    ),
    (attribute("Number", "abc"), "Could not cast message attribute 'a' value to number."),
]


def refused(code: str, text: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    assert (error["Code"], text in error["Message"]) == (code, True), error


@pytest.mark.parametrize(("message", "text"), ATTRIBUTES)
def test_a_message_attribute_is_refused(local_aws: LocalAws, message: Request, text: str) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws)
    refused("ParameterValueInvalid", text, sns.publish, TopicArn=arn, Message="x", **message)


def test_a_binary_attribute_of_a_batch_is_read(local_aws: LocalAws) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws)
    entry = {"Id": "a", "Message": "x", **attribute("Binary", b"x", field="BinaryValue")}
    assert sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[entry])["Failed"] == []


BATCHES: list[tuple[bool, list[str], Request, str, str]] = [
    (True, ["a"], {}, "InvalidParameter", "The MessageGroupId parameter is required for FIFO topics"),
    (
        True,
        ["a"],
        {"MessageGroupId": "g"},
        "InvalidParameter",
        "ContentBasedDeduplication enabled or MessageDedup",
    ),
    (
        False,
        list("abcdefghijk"),
        {},
        "TooManyEntriesInBatchRequest",
        "contains more entries than permissible.",
    ),
    (
        False,
        ["a", "a"],
        {},
        "BatchEntryIdsNotDistinct",
        "Two or more batch entries in the request have the same",
    ),
    (False, ["a.b"], {}, "InvalidBatchEntryId", "contains an impermissible character: a.b"),
    (False, ["a" * 81], {}, "InvalidBatchEntryId", f"is too long: {'a' * 81}"),
]


@pytest.mark.parametrize(("fifo", "ids", "message", "code", "text"), BATCHES)
def test_a_batch_is_refused(
    local_aws: LocalAws, fifo: bool, ids: list[str], message: Request, code: str, text: str
) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws, fifo=fifo)
    entries = [{"Id": one, "Message": "x", **message} for one in ids]
    refused(code, text, sns.publish_batch, TopicArn=arn, PublishBatchRequestEntries=entries)


def test_a_standard_topic_takes_no_deduplication_id(local_aws: LocalAws) -> None:
    sns, text = (
        local_aws.client("sns"),
        "MessageDeduplicationId parameter that is not valid for this topic type",
    )
    message = {"TopicArn": topic(local_aws), "Message": "x"}
    refused("InvalidParameter", text, sns.publish, **message, MessageDeduplicationId="d")
    sns.publish(**message, MessageGroupId="fair")


# --- Topics


TOPICS: list[tuple[str, Request, str]] = [
    ("x" * 257, {}, "Invalid parameter: Topic Name"),
    ("a b", {}, "Invalid parameter: Topic Name"),
    ("a.fifo", {}, "Invalid parameter: Topic Name"),
    ("a", {"FifoTopic": "true"}, "Invalid parameter: Topic Name"),
    (
        "taken",
        {"DisplayName": "another"},
        "Attributes Reason: Topic already exists with different attributes",
    ),
    ("a", {"Size": "1"}, "Invalid parameter: Attributes Reason: AttributeName"),
    ("a", {"DisplayName": "x" * 101}, "Invalid parameter: Attributes Reason: DisplayName"),
    ("a", {"SignatureVersion": "3"}, "Invalid parameter: Attributes Reason: SignatureVersion"),
    ("a", {"TracingConfig": "On"}, "Invalid parameter: Attributes Reason: TracingConfig"),
    ("a", {"Policy": "no JSON"}, "Invalid parameter: Attributes Reason: Policy Error: null"),
    ("a", {"ContentBasedDeduplication": "true"}, "it is only supported on FIFO topics"),
    (
        "a.fifo",
        {"FifoTopic": "true", "ArchivePolicy": '{"MessageRetentionPeriod": 366}'},
        "Attributes Reason: ArchivePolicy: MessageRetentionPeriod value is invalid",
    ),
]


@pytest.mark.parametrize(("name", "attributes", "text"), TOPICS)
def test_a_topic_is_refused(local_aws: LocalAws, name: str, attributes: Request, text: str) -> None:
    sns = local_aws.client("sns")
    taken = sns.create_topic(Name="taken")["TopicArn"]
    refused("InvalidParameter", text, sns.create_topic, Name=name, Attributes=attributes)
    if len(attributes) == 1 and name == "a" and "FifoTopic" not in attributes:
        ((key, value),) = attributes.items()
        of = {"TopicArn": taken, "AttributeName": key, "AttributeValue": value}
        refused("InvalidParameter", text.replace("Attributes Reason: ", ""), sns.set_topic_attributes, **of)


# --- Subscriptions


def filtered(policy: object, scope: str = "MessageBody") -> Request:
    return {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": scope}


def match(value: object) -> Request:
    return filtered({"key": [value]})


QUEUE = "arn:aws:sqs:us-east-1:123456789012:any"
SQS = ("sqs", QUEUE)
SETTINGS: list[tuple[tuple[str, str], Request, str]] = [
    (("carrier-pigeon", "a"), {}, "Amazon SNS does not support this protocol string: carrier-pigeon"),
    (("sqs", "https://sqs.us-east-1.amazonaws.com/123456789012/any"), {}, "SQS endpoint ARN"),
    (("sqs", FUNCTION), {}, "SQS endpoint ARN"),
    (("lambda", QUEUE), {}, "Lambda endpoint ARN"),
    (("https", "http://a.example"), {}, "Endpoint must match the specified protocol"),
    (("email", "a"), {}, "Email address"),
    (
        ("firehose", "arn:aws:firehose:us-east-1:123456789012:deliverystream/a"),
        {},
        "with subscription role arn",
    ),
    (SQS, {"RawMessageDelivery": "yes"}, "RawMessageDelivery: Invalid value [yes]. Must be true or false."),
    (("lambda", FUNCTION), {"RawMessageDelivery": "true"}, "protocol [lambda] does not support raw message"),
    (
        SQS,
        {"FilterPolicyScope": "Body"},
        "FilterPolicyScope: Invalid value [Body]. Please use either MessageBody",
    ),
    (SQS, {"RedrivePolicy": "{"}, "RedrivePolicy: failed to parse JSON."),
    (SQS, {"RedrivePolicy": '{"deadLetterTargetArn": "a"}'}, "deadLetterTargetArn is an invalid arn"),
    (
        SQS,
        {"RedrivePolicy": f'{{"deadLetterTargetArn": "{FUNCTION}"}}'},
        "deadLetterTargetArn must be a SQS queue",
    ),
    (
        SQS,
        {"DeliveryPolicy": '{"healthyRetryPolicy": {"numRetries": 101}}'},
        "must be less than or equal to 100",
    ),
    (SQS, {"Color": "red"}, "Invalid parameter: Attributes Reason: AttributeName"),
    (SQS, filtered({f"k{n}": ["x"] for n in range(6)}), "Filter policy can not have more than 5 keys"),
    (SQS, filtered({"a": {"b": ["x"] * 38}, "c": {"d": ["x"]}}), "Filter policy is too complex"),
    (SQS, filtered({"a": {"b": ["x"]}}, "MessageAttributes"), "does not support nested filter policy"),
    (SQS, filtered({"key": "value"}), '"key" must be an object or an array'),
    (SQS, filtered({"key": []}), "Empty arrays are not allowed"),
    (SQS, match(["x"]), "Match value must be String, number, true, false, or null"),
    (SQS, match({"like": "x"}), "Unrecognized match type like"),
    (SQS, match({"prefix": "x", "suffix": "y"}), "Only one key allowed in match expression"),
    (SQS, match({"suffix": 100}), "suffix match pattern must be a string"),
    (SQS, match({"exists": "no"}), "exists match pattern must be either true or false."),
    (SQS, match({"anything-but": {"suffix": "x"}}), "Unsupported anything-but pattern: suffix"),
    (SQS, match({"cidr": "10.0.0.1"}), "Malformed CIDR, one '/' required"),
    (SQS, match({"cidr": "10.0.0/8"}), "Nonstandard IP address: 10.0.0"),
    (SQS, match({"numeric": []}), "Invalid member in numeric match: ]"),
    (SQS, match({"numeric": ["~", 1]}), "Unrecognized numeric range operator: ~"),
    (SQS, match({"numeric": ["=", "1"]}), "Value of equals must be numeric"),
    (SQS, match({"numeric": ["<", 1, ">", 0]}), "Too many elements in numeric expression"),
    (SQS, match({"numeric": [">", 1, ">", 2]}), "Bad numeric range operator: >"),
    (SQS, match({"numeric": [">", 3, "<", 1]}), "Bottom must be less than top"),
    (SQS, match({"numeric": [">", 1, "<", 3, "<", 5]}), "Too many terms in numeric range expression"),
]


@pytest.mark.parametrize(("to", "attributes", "text"), SETTINGS)
def test_a_setting_of_a_subscription_is_refused(
    local_aws: LocalAws, to: tuple[str, str], attributes: Request, text: str
) -> None:
    wanted = {"TopicArn": topic(local_aws), "Protocol": to[0], "Endpoint": to[1], "Attributes": attributes}
    refused("InvalidParameter", text, local_aws.client("sns").subscribe, **wanted)


def test_accepted_filter_policies(local_aws: LocalAws) -> None:
    policy = {
        "a": [
            "x",
            1,
            None,
            {"prefix": "x"},
            {"anything-but": ["y"]},
            {"anything-but": {"prefix": "z"}},
        ],
        "b": [{"exists": False}, {"cidr": "10.0.0.0/24"}, {"equals-ignore-case": "X"}],
        "c": {"d": [{"numeric": [">", 0, "<=", 5]}, {"numeric": ["=", -1.5]}]},
        "$or": [{"e": ["x"]}, {"f": ["y"]}],
    }
    wanted = {
        "TopicArn": topic(local_aws),
        "Protocol": "sqs",
        "Endpoint": QUEUE,
        "Attributes": filtered(policy),
    }
    local_aws.client("sns").subscribe(**wanted)


def test_a_subscription_is_made_again_only_with_its_attributes(local_aws: LocalAws) -> None:
    sns = local_aws.client("sns")
    of = {"TopicArn": topic(local_aws), "Protocol": "sqs", "Endpoint": QUEUE}
    made = sns.subscribe(**of, Attributes={"RawMessageDelivery": "true"})["SubscriptionArn"]
    assert sns.subscribe(**of)["SubscriptionArn"] == made
    text = "Attributes Reason: Subscription already exists with different attributes"
    refused("InvalidParameter", text, sns.subscribe, **of, Attributes={"RawMessageDelivery": "false"})
    change = {"SubscriptionArn": made, "AttributeName": "Color", "AttributeValue": "red"}
    refused("InvalidParameter", "Invalid parameter: AttributeName", sns.set_subscription_attributes, **change)


@pytest.mark.parametrize(
    ("fifo", "attributes", "text"),
    [
        (True, {}, "Invalid protocol type: lambda"),
        (False, {"FilterPolicy": "no json"}, "FilterPolicy: failed to parse JSON"),
        (False, {"FilterPolicy": "[1]"}, "FilterPolicy: failed to parse JSON"),
    ],
)
def test_a_subscription_is_refused(
    local_aws: LocalAws, fifo: bool, attributes: dict[str, Any], text: str
) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws, fifo=fifo)
    wanted = {"TopicArn": arn, "Protocol": "lambda", "Endpoint": FUNCTION}
    with pytest.raises(ClientError, match=text) as raised:
        sns.subscribe(**wanted, Attributes=attributes)
    assert raised.value.response["Error"]["Code"] == "InvalidParameter"
    resource = {"Type": "AWS::SNS::Subscription", "Properties": {**wanted, **attributes}}
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, {"Subscription": resource})


def test_a_template_with_a_refused_topic_fails(local_aws: LocalAws) -> None:
    for properties, text in (
        ({"TopicName": "a.fifo"}, "Invalid parameter: Topic Name"),
        ({"DisplayName": "x" * 101}, "Attributes Reason: DisplayName"),
    ):
        with pytest.raises(DeploymentFailedError, match=text):
            deploy(local_aws, {"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}})


# --- Still needed


def test_the_emulator_still_accepts_any_topic_and_filter_policy(stock_aws: LocalAws) -> None:
    sns = stock_aws.client("sns")
    arn = sns.create_topic(Name="a b", Attributes={"Size": "1"})["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE, Attributes=match({"like": "x"}))
