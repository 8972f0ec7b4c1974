"""Where records of asynchronous invocations go: a queue, a topic, a function, an event bus or a bucket."""

from typing import TypeAlias, cast

import jsii
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.failure_queue import check_standard
from cdk_lambda_patterns.core.permissions import (
    grant_on_bucket,
    grant_on_objects,
    grant_publish,
    grant_send,
    grant_use_of_key,
)

Resource: TypeAlias = sqs.IQueue | sns.ITopic | lambda_.IFunction | events.IEventBus | s3.IBucket


@jsii.implements(lambda_.IDestination)
class Destination:
    """A destination, with the permissions that AWS documents for it and no others.

    Args:
        argument: The argument that names it, as the caller wrote it.
        resource: The queue, topic, function, event bus or bucket, owned or imported.

    Raises:
        ValueError: It is a FIFO queue or topic.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """

    def __init__(self, argument: str, resource: Resource) -> None:
        if hasattr(resource, "queue_arn") or hasattr(resource, "topic_arn"):
            check_standard(argument, cast(sqs.IQueue | sns.ITopic, resource))
        self._resource = resource

    def bind(
        self, _scope: Construct, fn: lambda_.IFunction, *, type: lambda_.DestinationType
    ) -> lambda_.DestinationConfig:
        """Grant the function's role the permissions and return the ARN. The CDK calls this."""
        resource, role = self._resource, fn.role
        assert role is not None
        # isinstance does not work with the interfaces of the CDK; each has an ARN with a name of its own.
        if hasattr(resource, "queue_arn"):
            grant_send(role, cast(sqs.IQueue, resource))
            arn = resource.queue_arn
        elif hasattr(resource, "topic_arn"):
            grant_publish(role, cast(sns.ITopic, resource))
            arn = resource.topic_arn
        elif hasattr(resource, "bucket_arn"):
            bucket = cast(s3.IBucket, resource)
            grant_on_bucket(role, bucket, "s3:ListBucket")
            reason = "Lambda names the objects after the time and the event."
            grant_on_objects(role, bucket, "s3:PutObject", reason=reason)
            grant_use_of_key(role, bucket.encryption_key, "kms:GenerateDataKey", "kms:Decrypt")
            arn = bucket.bucket_arn
        else:
            is_function = hasattr(resource, "function_arn")
            arn = resource.function_arn if is_function else resource.event_bus_arn
            action = "lambda:InvokeFunction" if is_function else "events:PutEvents"
            iam.Grant.add_to_principal(grantee=role, actions=[action], resource_arns=[arn])
        return lambda_.DestinationConfig(destination=arn)
