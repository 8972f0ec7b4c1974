"""Events that are delivered as a service: its permission, its way to invoke, and what follows a failure."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from localaws import LocalAws, LocalAwsError
from localaws.server.delivery import request_to_deliver

pytestmark = pytest.mark.local

IOT, ALEXA = "iot.amazonaws.com", "alexa-appkit.amazon.com"
OTHER = "210987654321"
ECHO = "handler = lambda event, context: {'got': event}"
FAILING = "def handler(event, context): raise RuntimeError('no')"


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


class Target:
    """A function, and the queue with the records of its events."""

    def __init__(self, functions: Functions, source: str) -> None:
        self.aws, self.functions = functions.aws, functions
        self.queue = functions.queue()
        self.role = functions.role(("sqs:SendMessage", self.queue.arn))
        self.name = functions.make(source, role=self.role)
        self.arn = functions.arn("lambda", f"function:{self.name}")
        functions.settle(self.name, OnSuccess=self.queue.arn, OnFailure=self.queue.arn)
        self.rule = functions.arn("iot", "rule/temperatures")

    def permit(self, principal: str, **source: str) -> None:
        self.aws.client("lambda").add_permission(
            FunctionName=self.name,
            StatementId=uuid.uuid4().hex,
            Action="lambda:InvokeFunction",
            Principal=principal,
            **source,
        )


@pytest.fixture
def echo(functions: Functions) -> Target:
    return Target(functions, ECHO)


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ({"SourceArn": "{rule}"}, True),
        ({"SourceArn": "{rule}", "SourceAccount": "{account}"}, True),
        ({"SourceArn": "{rule}-of-others"}, False),
        ({"SourceArn": "{rule}", "SourceAccount": OTHER}, False),
    ],
)
def test_the_function_is_invoked_only_for_the_source_that_its_policy_names(
    echo: Target, source: dict[str, str], allowed: bool
) -> None:
    named = {key: value.format(rule=echo.rule, account=echo.aws.account) for key, value in source.items()}
    echo.permit(IOT, **named)
    if allowed:
        delivered = echo.aws.deliver_as(IOT, echo.rule, echo.arn, {"celsius": 21})
        record = echo.queue.wait_for_body()
        assert record["requestContext"]["requestId"] == delivered.id
        assert record["responsePayload"] == {"got": {"celsius": 21}}
        assert delivered.payload is None
    else:
        with pytest.raises(ClientError, match="no resource-based policy allows") as refused:
            echo.aws.deliver_as(IOT, echo.rule, echo.arn, {"celsius": 21})
        assert code_of(refused) == "AccessDeniedException"
        assert refused.value.operation_name == "Invoke"
        echo.permit(IOT)
        echo.aws.deliver_as(IOT, echo.rule, echo.arn, "allowed")
        assert echo.queue.wait_for_body()["requestPayload"] == "allowed"  # the refused event never arrived


def test_the_account_of_a_source_whose_arn_names_none_is_this_one_or_the_one_that_is_given(
    echo: Target,
) -> None:
    bucket = "arn:aws:s3:::photos"
    echo.permit("s3.amazonaws.com", SourceArn=bucket, SourceAccount=echo.aws.account)
    echo.aws.deliver_as("s3.amazonaws.com", bucket, echo.arn, {"Records": []})
    with pytest.raises(ClientError):
        echo.aws.deliver_as("s3.amazonaws.com", bucket, echo.arn, {"Records": []}, source_account=OTHER)


def test_a_synchronous_service_gets_the_answer_and_the_error_of_the_function(functions: Functions) -> None:
    for source, payload, error in ((ECHO, {"got": 7}, None), (FAILING, None, "Unhandled")):
        target = Target(functions, source)
        target.permit("lexv2.amazonaws.com", SourceArn=target.rule)
        delivered = target.aws.deliver_as("lexv2.amazonaws.com", target.rule, target.arn, 7)
        assert delivered.function_error == error
        assert payload in (None, delivered.payload)
        assert target.queue.receive() == []  # a synchronous invocation has no destination


def test_an_asynchronous_event_that_fails_takes_the_way_of_the_functions_own_settings(
    functions: Functions,
) -> None:
    target = Target(functions, FAILING)
    functions.settle(target.name, MaximumRetryAttempts=1, OnFailure=target.queue.arn)
    target.permit(IOT, SourceArn=target.rule)
    target.aws.deliver_as(IOT, target.rule, target.arn, {"celsius": 99})
    record = target.queue.wait_for_body()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"] == {"celsius": 99}


def test_the_permission_is_that_of_the_alias(echo: Target) -> None:
    client = echo.aws.client("lambda")
    client.publish_version(FunctionName=echo.name)
    client.create_alias(FunctionName=echo.name, Name="live", FunctionVersion="1")
    echo.permit("lexv2.amazonaws.com", SourceArn=echo.rule)
    with pytest.raises(ClientError, match=":live because"):
        echo.aws.deliver_as("lexv2.amazonaws.com", echo.rule, f"{echo.arn}:live", 7)
    client.add_permission(
        FunctionName=echo.name,
        Qualifier="live",
        StatementId="live",
        Action="lambda:InvokeFunction",
        Principal="lexv2.amazonaws.com",
        SourceArn=echo.rule,
    )
    assert echo.aws.deliver_as("lexv2.amazonaws.com", echo.rule, f"{echo.arn}:live", 7).payload == {"got": 7}


def test_a_throttled_function_and_an_event_that_is_too_large_are_refused_as_by_the_api(echo: Target) -> None:
    echo.permit("lexv2.amazonaws.com", SourceArn=echo.rule)
    echo.permit(IOT, SourceArn=echo.rule)
    with pytest.raises(ClientError) as refused:
        echo.aws.deliver_as(IOT, echo.rule, echo.arn, "x" * 1_100_000)
    assert code_of(refused) == "RequestEntityTooLargeException"
    echo.aws.client("lambda").put_function_concurrency(FunctionName=echo.name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError) as refused:
        echo.aws.deliver_as("lexv2.amazonaws.com", echo.rule, echo.arn, 7)
    assert code_of(refused) == "TooManyRequestsException"


def test_a_role_must_trust_the_service_and_may_invoke_only_what_it_allows(
    functions: Functions, echo: Target
) -> None:
    pipeline, principal = functions.arn("codepipeline", "releases"), "codepipeline.amazonaws.com"
    good = functions.role(("lambda:InvokeFunction", echo.arn), service=principal)
    echo.aws.deliver_as(principal, pipeline, echo.arn, {"CodePipeline.job": {}}, role=good)
    assert echo.queue.wait_for_body()["requestPayload"] == {"CodePipeline.job": {}}
    for role, reason in (
        (functions.role(("lambda:InvokeFunction", echo.arn)), "sts:AssumeRole"),
        (functions.role(("lambda:InvokeFunction", f"{echo.arn}2"), service=principal), "no identity-based"),
        (functions.arn("iam", "role/missing"), "sts:AssumeRole"),
    ):
        with pytest.raises(ClientError, match=reason):
            echo.aws.deliver_as(principal, pipeline, echo.arn, {}, role=role)


def test_a_poller_uses_the_role_of_the_function_for_what_it_reads(functions: Functions) -> None:
    broker, secret = functions.arn("mq", "broker:orders:b-1"), functions.arn("secretsmanager", "secret:mq")
    reads = {"mq:DescribeBroker": broker, "secretsmanager:GetSecretValue": secret}
    role = functions.role(*reads.items())
    arn = functions.arn("lambda", f"function:{functions.make(ECHO, role=role)}")
    poll = functions.aws.deliver_as
    batch = {"eventSource": "aws:mq", "messages": []}
    delivered = poll("lambda.amazonaws.com", broker, arn, batch, role=role, reads=reads)
    assert delivered.payload == {"got": batch}
    more = {**reads, "ec2:CreateNetworkInterface": "*"}
    with pytest.raises(ClientError, match=r"ec2:CreateNetworkInterface .* no identity-based policy"):
        poll("lambda.amazonaws.com", broker, arn, batch, role=role, reads=more)
    with pytest.raises(ClientError, match="not the execution role"):
        poll("lambda.amazonaws.com", broker, arn, batch, role=functions.role(*reads.items()), reads=reads)


def allow(principal: str, action: str, arn: str, source: str) -> str:
    condition = {"ArnLike": {"aws:SourceArn": source}}
    statement = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": action, "Resource": arn}
    without_tls = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    denied = statement | {"Effect": "Deny", "Principal": "*"} | without_tls
    return json.dumps({"Version": "2012-10-17", "Statement": [statement | {"Condition": condition}, denied]})


def test_a_topic_and_a_queue_take_messages_of_the_service_that_their_policy_allows(
    functions: Functions,
) -> None:
    aws, principal = functions.aws, "events.rds.amazonaws.com"
    database = functions.arn("rds", "db:orders")
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue)
    policy = allow(principal, "sns:Publish", topic, database)
    aws.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    aws.deliver_as(principal, database, topic, {"Event ID": "RDS-EVENT-0006"})
    assert queue.wait_for_body() == {"Event ID": "RDS-EVENT-0006"}
    with pytest.raises(ClientError) as refused:
        aws.deliver_as(principal, functions.arn("rds", "db:others"), topic, {})
    assert code_of(refused) == "AuthorizationError"

    policy = allow(principal, "sqs:SendMessage", queue.arn, database)
    aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": policy})
    delivered = aws.deliver_as(principal, database, queue.arn, "a plain text")
    assert [(one["MessageId"], one["Body"]) for one in queue.receive()] == [(delivered.id, "a plain text")]
    with pytest.raises(ClientError) as refused:
        aws.deliver_as(IOT, database, queue.arn, "a plain text")
    assert code_of(refused) == "AccessDenied"


def test_services_use_tls(functions: Functions) -> None:
    queue, database = functions.queue(), functions.arn("rds", "db:orders")
    policy = json.loads(allow("events.rds.amazonaws.com", "sqs:SendMessage", queue.arn, database))
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue.arn}
    policy["Statement"].append(everybody | {"Condition": insecure})
    attributes = {"Policy": json.dumps(policy)}
    functions.aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes=attributes)
    functions.aws.deliver_as("events.rds.amazonaws.com", database, queue.arn, "a plain text")
    assert queue.wait()["Body"] == "a plain text"


def test_alexa_calls_only_for_the_skill_that_the_policy_names(echo: Target) -> None:
    echo.permit(ALEXA, EventSourceToken="amzn1.ask.skill.1")
    given = echo.aws.deliver_as(ALEXA, "", echo.arn, 7, event_source_token="amzn1.ask.skill.1")
    assert given.payload == {"got": 7}
    for token in ("amzn1.ask.skill.2", None):
        with pytest.raises(ClientError) as refused:
            echo.aws.deliver_as(ALEXA, "", echo.arn, 7, event_source_token=token)
        assert code_of(refused) == "AccessDeniedException"


def test_a_bucket_takes_the_objects_that_its_policy_allows(functions: Functions) -> None:
    aws, principal, bucket = functions.aws, "ses.amazonaws.com", f"mail-{uuid.uuid4().hex[:8]}"
    rule = functions.arn("ses", "receipt-rule-set/a:receipt-rule/b")
    objects, s3 = f"arn:aws:s3:::{bucket}/in/*", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(principal, "s3:PutObject", objects, rule))
    aws.deliver_as(principal, rule, f"arn:aws:s3:::{bucket}/in/m1", "Subject: ä\r\n")
    assert s3.get_object(Bucket=bucket, Key="in/m1")["Body"].read() == "Subject: ä\r\n".encode()
    for key, source in (("out/m1", rule), ("in/m1", f"{rule}2")):
        with pytest.raises(ClientError) as refused:
            aws.deliver_as(principal, source, f"arn:aws:s3:::{bucket}/{key}", "")
        assert (code_of(refused), refused.value.operation_name) == ("AccessDenied", "PutObject")
    with pytest.raises(ClientError) as refused:
        aws.deliver_as(principal, rule, "arn:aws:s3:::missing-bucket/in/m1", "")
    assert code_of(refused) == "NoSuchBucket"


def rule_to(queue: Queue, bus: str) -> None:
    client = queue.aws.client("events")
    rule = f"rule-{uuid.uuid4().hex[:8]}"
    client.put_rule(Name=rule, EventBusName=bus, EventPattern='{"source": ["aws.codepipeline"]}')
    client.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn}])


def test_the_default_bus_takes_events_of_services_and_every_other_one_needs_a_policy(
    functions: Functions,
) -> None:
    aws, queue = functions.aws, functions.queue(writable_by="events.amazonaws.com")
    name = f"bus-{uuid.uuid4().hex[:8]}"
    bus: str = aws.client("events").create_event_bus(Name=name)["EventBusArn"]
    rule_to(queue, "default")
    rule_to(queue, name)
    principal, pipeline = "codepipeline.amazonaws.com", functions.arn("codepipeline", "releases")
    event: dict[str, Any] = {
        "source": "aws.codepipeline",
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "resources": [pipeline],
        "detail": {"pipeline": "releases", "state": "FAILED"},
    }
    default = functions.arn("events", "event-bus/default")
    aws.deliver_as(principal, pipeline, default, event)
    received = queue.wait_for_body()
    assert {name: received[name] for name in event} == event
    with pytest.raises(ClientError) as refused:
        aws.deliver_as(principal, pipeline, bus, event)
    assert code_of(refused) == "AccessDeniedException"
    aws.client("events").put_permission(
        EventBusName=name, StatementId="all", Action="events:PutEvents", Principal="*"
    )
    aws.deliver_as(principal, pipeline, bus, event)
    assert queue.wait_for_body()["detail"]["state"] == "FAILED"
    with pytest.raises(ClientError, match="Detail"):
        aws.deliver_as(principal, pipeline, default, {**event, "detail": "text"})


@pytest.mark.parametrize(
    ("service", "name", "code"),
    [
        ("lambda", "function:missing", "ResourceNotFoundException"),
        ("sqs", "missing", "AWS.SimpleQueueService.NonExistentQueue"),
        ("sns", "missing", "NotFound"),
        ("events", "event-bus/missing", "ResourceNotFoundException"),
    ],
)
def test_a_target_that_does_not_exist_is_not_found(
    functions: Functions, service: str, name: str, code: str
) -> None:
    with pytest.raises(ClientError, match="does not exist") as refused:
        functions.aws.deliver_as(IOT, functions.arn("iot", "rule/one"), functions.arn(service, name), {})
    assert code_of(refused) == code


def test_a_function_of_another_account_needs_a_permission_and_is_never_revealed(
    functions: Functions, echo: Target
) -> None:
    rule = f"arn:aws:iot:us-east-1:{OTHER}:rule/one"
    missing = f"{echo.arn}-missing"
    for arn in (echo.arn, missing):
        with pytest.raises(ClientError) as refused:
            echo.aws.deliver_as(IOT, rule, arn, 7)
        assert code_of(refused) == "AccessDeniedException"
    echo.permit(IOT, SourceArn=rule, SourceAccount=OTHER)
    echo.aws.deliver_as(IOT, rule, echo.arn, 7)
    assert echo.queue.wait_for_body()["responsePayload"] == {"got": 7}


FUNCTION, QUEUE = "arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:sqs:us-east-1:123456789012:q"


@pytest.mark.parametrize(
    ("principal", "target", "more", "message"),
    [
        (IOT, "orders", {}, "target='orders': give an ARN"),
        (IOT, "arn:aws:dynamodb:::t", {}, "give the ARN of a function, queue, topic, event bus or object"),
        (IOT, "arn:aws:s3:::photos", {}, "give the ARN of an object, and its text"),
        (IOT, "arn:aws:s3:::photos/a", {}, "give the ARN of an object, and its text"),
        (ALEXA, FUNCTION, {}, "alexa-appkit.amazon.com calls for no resource"),
        (IOT, FUNCTION, {"event_source_token": "amzn1.ask.skill.1"}, "only Alexa sends one"),
        (
            IOT,
            FUNCTION,
            {"invocation_type": "RequestResponse"},
            "invokes functions with Event",
        ),
        ("ses.amazonaws.com", FUNCTION, {}, "in both ways: give invocation_type='Event'"),
        ("new.amazonaws.com", FUNCTION, {}, "is unknown here: give invocation_type='Event'"),
        (IOT, QUEUE, {"role": "arn:aws:iam::123456789012:role/r"}, "are for functions"),
        ("lambda.amazonaws.com", FUNCTION, {}, "polls with the role of the function: give it as role"),
        (IOT, FUNCTION, {"reads": {"mq:DescribeBroker": "*"}}, "only the principal lambda.amazonaws.com"),
    ],
)
def test_a_delivery_that_no_service_makes_is_an_error(
    principal: str, target: str, more: dict[str, Any], message: str
) -> None:
    arguments = {"invocation_type": None, "role": None, "reads": None} | more
    with pytest.raises(ValueError, match=message):
        request_to_deliver(
            principal, "arn:aws:iot:::rule/one", target, {}, source_account="1" * 12, **arguments
        )


def test_services_that_invoke_both_ways_are_asked_which() -> None:
    for given in ("Event", "RequestResponse"):
        request = request_to_deliver(
            "ses.amazonaws.com",
            "arn:aws:ses:us-east-1:123456789012:receipt-rule-set/a:receipt-rule/b",
            FUNCTION,
            {},
            source_account="1" * 12,
            invocation_type=given,
            role=None,
            reads=None,
        )
        assert (request["invocation_type"], request["source_account"]) == (given, "123456789012")


def test_without_bridges_nothing_is_delivered(stock_aws: LocalAws) -> None:
    with pytest.raises(LocalAwsError, match="needs the bridges"):
        stock_aws.deliver_as(IOT, "arn:aws:iot:::rule/one", FUNCTION, {})


def test_events_of_many_deliveries_at_once_arrive_once_each(echo: Target) -> None:
    echo.permit(IOT, SourceArn=echo.rule)
    with ThreadPoolExecutor(4) as pool:
        ids = {
            one.id for one in pool.map(lambda n: echo.aws.deliver_as(IOT, echo.rule, echo.arn, n), range(12))
        }
    seen: list[dict[str, Any]] = []

    def all_there() -> bool:
        seen.extend(json.loads(one["Body"]) for one in echo.queue.receive())
        return len(seen) >= 12

    eventually(all_there)
    assert {one["requestContext"]["requestId"] for one in seen} == ids
    assert sorted(one["requestPayload"] for one in seen) == list(range(12))
