"""A service that calls a function, queue or topic needs a statement in its policy."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local


class Witness:
    """A function that records its invocations in a file, and an account to call it from."""

    def __init__(self, functions: Functions, folder: Path) -> None:
        self.functions = functions
        self.aws: LocalAws = functions.aws
        self.file = folder / "invocations"
        self.file.touch()
        source = f"def handler(event, context): open({str(self.file)!r}, 'a').write('invoked\\n')"
        self.name = functions.make(source)
        self.arn = functions.arn("lambda", f"function:{self.name}")

    def permit(self, service: str, *, qualifier: str | None = None, **source: str) -> None:
        """Allow a service to invoke the function, with a SourceArn and SourceAccount."""
        named = {"Qualifier": qualifier} if qualifier else {}
        self.aws.client("lambda").add_permission(
            FunctionName=self.name,
            StatementId=uuid.uuid4().hex,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            **named,
            **source,
        )

    def forbid(self) -> None:
        """Remove all permissions."""
        client = self.aws.client("lambda")
        for statement in json.loads(client.get_policy(FunctionName=self.name)["Policy"])["Statement"]:
            client.remove_permission(FunctionName=self.name, StatementId=statement["Sid"])

    def is_invoked(self, call: Callable[[], object]) -> bool:
        """Whether the call reaches the function, or is refused in the log."""
        before, noted = self._refusals(), self.file.read_text()
        call()

        def outcome() -> str:
            if self.file.read_text() != noted:
                return "invoked"
            return "refused" if self._refusals() > before else ""

        return eventually(outcome) == "invoked"

    def _refusals(self) -> int:
        return self.aws.log_file.read_text(errors="replace").count(f"may not call {self.arn}")


@pytest.fixture
def witness(functions: Functions, shared_folder: Path) -> Witness:
    return Witness(functions, shared_folder)


@pytest.fixture
def stock_witness(stock_functions: Functions, shared_folder: Path) -> Witness:
    return Witness(stock_functions, shared_folder)


# --- S3


def new_bucket(aws: LocalAws) -> str:
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


def notify(aws: LocalAws, bucket: str, function: str, **more: Any) -> None:
    configuration = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}, **more
    )


def upload(aws: LocalAws, bucket: str) -> Callable[[], object]:
    return lambda: aws.client("s3").put_object(Bucket=bucket, Key="photo", Body=b"x")


def test_a_bucket_that_is_permitted_invokes(witness: Witness) -> None:
    bucket = new_bucket(witness.aws)
    witness.permit("s3", SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount=witness.aws.account)
    notify(witness.aws, bucket, witness.arn)
    assert witness.is_invoked(upload(witness.aws, bucket))


class ElsewhereAws:
    """Another account, as the functions here use one."""

    def __init__(self, aws: LocalAws) -> None:
        self.client = aws.session_of("222222222222").client


def test_a_bucket_of_another_account_invokes_only_with_that_account_in_the_policy(witness: Witness) -> None:
    other: Any = ElsewhereAws(witness.aws)
    bucket = new_bucket(other)
    witness.permit("s3", SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount=witness.aws.account)
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        notify(other, bucket, witness.arn)
    witness.permit("s3", SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount="222222222222")
    notify(other, bucket, witness.arn)
    assert witness.is_invoked(upload(other, bucket))


def test_a_topic_of_another_account_invokes_only_with_its_permission(witness: Witness) -> None:
    sns = witness.aws.session_of("222222222222").client("sns")
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=witness.arn)

    def publish() -> object:
        return sns.publish(TopicArn=topic, Message="m")

    assert not witness.is_invoked(publish)
    witness.permit("sns", SourceArn=topic)
    assert witness.is_invoked(publish)


@pytest.mark.parametrize(
    ("service", "source"),
    [
        ("s3", {"SourceArn": "arn:aws:s3:::another-bucket"}),
        ("s3", {"SourceAccount": "999999999999"}),
        ("sns", {}),
    ],
)
def test_s3_refuses_a_function_that_permits_another_source(
    witness: Witness, service: str, source: dict[str, str]
) -> None:
    witness.permit(service, **source)
    bucket = new_bucket(witness.aws)
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        notify(witness.aws, bucket, witness.arn)
    answer = witness.aws.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    assert "LambdaFunctionConfigurations" not in answer


def test_s3_refuses_a_function_without_a_policy_in_a_template_too(witness: Witness) -> None:
    notification = {"LambdaConfigurations": [{"Event": "s3:ObjectCreated:*", "Function": witness.arn}]}
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"NotificationConfiguration": notification}}
    with pytest.raises(DeploymentFailedError, match="Unable to validate"):
        deploy(witness.aws, {"Bucket": bucket})


def test_a_permission_on_the_function_is_none_on_its_alias(witness: Witness) -> None:
    client, bucket = witness.aws.client("lambda"), new_bucket(witness.aws)
    version = client.publish_version(FunctionName=witness.name)["Version"]
    client.create_alias(FunctionName=witness.name, Name="live", FunctionVersion=version)
    witness.permit("s3", SourceArn=f"arn:aws:s3:::{bucket}")
    with pytest.raises(ClientError, match="Unable to validate"):
        notify(witness.aws, bucket, f"{witness.arn}:live")
    witness.permit("s3", qualifier="live", SourceArn=f"arn:aws:s3:::{bucket}")
    notify(witness.aws, bucket, f"{witness.arn}:live")
    assert witness.is_invoked(upload(witness.aws, bucket))


def test_a_bucket_whose_permission_was_removed_no_longer_invokes(witness: Witness) -> None:
    bucket = new_bucket(witness.aws)
    witness.permit("s3", SourceArn=f"arn:aws:s3:::{bucket}")
    notify(witness.aws, bucket, witness.arn)
    witness.forbid()
    assert not witness.is_invoked(upload(witness.aws, bucket))


def test_validation_can_be_skipped_and_invocation_cannot(witness: Witness) -> None:
    bucket = new_bucket(witness.aws)
    notify(witness.aws, bucket, witness.arn, SkipDestinationValidation=True)
    assert not witness.is_invoked(upload(witness.aws, bucket))


# --- SNS


def publish(aws: LocalAws, topic: str) -> Callable[[], object]:
    return lambda: aws.client("sns").publish(TopicArn=topic, Message="hello")


def subscribed_topic(witness: Witness) -> str:
    sns = witness.aws.client("sns")
    topic: str = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=witness.arn)
    return topic


def test_a_topic_invokes_when_it_is_permitted(witness: Witness) -> None:
    topic = subscribed_topic(witness)
    assert not witness.is_invoked(publish(witness.aws, topic))
    witness.permit("sns", SourceArn=topic)
    assert witness.is_invoked(publish(witness.aws, topic))


# --- EventBridge


def rule_to(aws: LocalAws, target: str) -> str:
    """The ARN of a rule that sends events to the target."""
    events, name = aws.client("events"), f"rule-{uuid.uuid4().hex[:8]}"
    rule: str = events.put_rule(Name=name, EventPattern='{"source": ["shop"]}')["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target}])
    return rule


def put_event(aws: LocalAws) -> Callable[[], object]:
    entry = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
    return lambda: aws.client("events").put_events(Entries=[entry])


def allow_rule(queue: Queue, rule: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queue.aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": document})


def test_a_rule_invokes_a_function_when_it_is_permitted(witness: Witness) -> None:
    rule = rule_to(witness.aws, witness.arn)
    witness.permit("events", SourceArn=rule + "-other")
    assert not witness.is_invoked(put_event(witness.aws))
    witness.permit("events", SourceArn=rule)
    assert witness.is_invoked(put_event(witness.aws))


def test_a_rule_sends_to_a_queue_when_the_queue_allows_it(functions: Functions) -> None:
    queue = functions.queue()
    rule = rule_to(functions.aws, queue.arn)
    put_event(functions.aws)()
    allow_rule(queue, rule)
    put_event(functions.aws)()
    assert queue.wait_for_body()["source"] == "shop"
    assert queue.receive() == []  # the first one was refused


def test_a_rule_sends_to_a_topic_when_the_topic_allows_it(functions: Functions) -> None:
    aws, queue = functions.aws, functions.queue()
    sns = aws.client("sns")
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    rule_to(aws, topic)
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue.arn}
    document = json.dumps({"Statement": [statement | {"Principal": {"Service": "sns.amazonaws.com"}}]})
    aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": document})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    put_event(aws)()
    statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic}
    document = json.dumps({"Statement": [statement | {"Principal": {"Service": "events.amazonaws.com"}}]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document)
    put_event(aws)()
    assert json.loads(queue.wait_for_body()["Message"])["source"] == "shop"
    assert queue.receive() == []  # the first one was refused


# --- Permissions


def permission(function: str) -> dict[str, Any]:
    properties = {
        "FunctionName": function,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    return {"Type": "AWS::Lambda::Permission", "Properties": properties}


def test_a_permission_on_a_function_that_does_not_exist_fails_the_deployment(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="Function not found"):
        deploy(local_aws, {"Permission": permission("no-such-function")})


def test_the_statement_of_a_permission_has_an_id_that_lambda_accepts(
    local_aws: LocalAws, witness: Witness
) -> None:
    name, lambda_ = "Permission" * 20, local_aws.client("lambda")
    stack = deploy(local_aws, {name: permission(witness.name)})

    def only_id() -> str:
        policy = json.loads(lambda_.get_policy(FunctionName=witness.name)["Policy"])
        (statement,) = policy["Statement"]
        return str(statement["Sid"])

    first = only_id()
    assert len(first) <= 100
    changed = permission(witness.name)
    changed["Properties"]["SourceAccount"] = local_aws.account
    stack.update({name: changed})
    assert only_id() != first
    lambda_.remove_permission(FunctionName=witness.name, StatementId=only_id())


# --- Still needed


def test_still_needed_the_emulator_allows_any_bucket_to_invoke(stock_witness: Witness) -> None:
    bucket = new_bucket(stock_witness.aws)
    notify(stock_witness.aws, bucket, stock_witness.arn)
    assert stock_witness.is_invoked(upload(stock_witness.aws, bucket))


def test_still_needed_the_emulator_allows_any_topic_to_invoke(stock_witness: Witness) -> None:
    topic = subscribed_topic(stock_witness)
    assert stock_witness.is_invoked(publish(stock_witness.aws, topic))


def test_still_needed_the_emulator_allows_any_rule_to_invoke_and_send(
    stock_witness: Witness, stock_functions: Functions
) -> None:
    queue = stock_functions.queue()
    rule_to(stock_witness.aws, stock_witness.arn)
    rule_to(stock_witness.aws, queue.arn)
    assert stock_witness.is_invoked(put_event(stock_witness.aws))
    assert queue.wait_for_body()["source"] == "shop"


def test_the_emulator_still_accepts_permissions_on_nothing(stock_aws: LocalAws) -> None:
    deploy(stock_aws, {"Permission": permission("no-such-function")})
