"""The surroundings of the functions behind S3, for tests: S3's records, Lambda's context, clients in moto."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import botocore.session
import pytest
from moto import mock_aws

Client: TypeAlias = Any
REGION = "eu-central-1"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/123456789012/failures"

# The Region and credentials for botocore; those of the machine are not used.
AWS = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def arn_of(function: str) -> str:
    """The ARN of a function."""
    return f"arn:aws:lambda:{REGION}:123456789012:function:{function}"


@dataclass
class LambdaContext:
    """Lambda's context object."""

    function_name: str
    memory_limit_in_mb: int
    milliseconds: int = 300_000
    aws_request_id: str = "b4a7f1c2-0000-4000-8000-000000000000"
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        return arn_of(self.function_name)

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@contextmanager
def clients_in_moto(environment: Mapping[str, str]) -> Iterator[tuple[Client, Client, Client]]:
    """Make the test's own clients of S3, DynamoDB and SQS, and an empty failure queue."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in environment.items():
            patch.setenv(name, value)
        session = botocore.session.get_session()
        clients: list[Client] = [session.create_client(name) for name in ("s3", "dynamodb", "sqs")]
        s3, dynamodb, sqs = clients
        assert sqs.create_queue(QueueName="failures")["QueueUrl"] == QUEUE_URL
        yield s3, dynamodb, sqs


@dataclass
class Surroundings:
    """A function and its surroundings.

    Args:
        function: The module of its handler.
        s3: The test's own client.
        dynamodb: The test's own client.
        sqs: The test's own client.
    """

    function: ModuleType
    s3: Client
    dynamodb: Client
    sqs: Client

    def context(self, **changes: Any) -> LambdaContext:
        """Lambda's context object for an invocation."""
        raise NotImplementedError

    def invoke(self, *records: object) -> dict[str, int]:
        """Invoke the function with a notification that contains these records."""
        return self.send({"Records": list(records)})

    def send(self, event: object) -> dict[str, int]:
        """Invoke the function with an event, which takes the way through JSON as in Lambda."""
        outcomes: dict[str, int] = self.function.handler(json.loads(json.dumps(event)), self.context())
        return outcomes

    def failures(self) -> list[dict[str, Any]]:
        """Return the messages in the failure queue, and delete them."""
        answer = self.sqs.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def empty(self, *buckets: str, key_names: tuple[str, ...]) -> None:
        """Delete everything that a test left behind.

        Args:
            *buckets: The buckets.
            key_names: The key attributes of the table ``metadata``.
        """
        for bucket in buckets:
            listed = self.s3.list_object_versions(Bucket=bucket)
            for one in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
                self.s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        for item in self.dynamodb.scan(TableName="metadata")["Items"]:
            self.dynamodb.delete_item(TableName="metadata", Key={name: item[name] for name in key_names})
        while self.failures():  # a purge is allowed once a minute
            pass
