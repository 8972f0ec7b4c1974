"""Answers have the members that AWS always returns, in the calls that architectures and tools use.

A tool may rely on each: `aws logs tail --follow` ended for want of an id. The models of botocore know the
members and not which of them are always there; that is from the pages of the API references.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually

pytestmark = pytest.mark.local

Answer = dict[str, Any]


class Resources:
    """One of everything that the calls describe, each made once."""

    def __init__(self, functions: Functions) -> None:
        aws = functions.aws
        self.client = aws.client
        self.name = f"members-{uuid.uuid4().hex[:8]}"
        self.queue = functions.queue()
        self.role = functions.role(("sqs:*", "*"))
        self.function = functions.make("def handler(event, context): print('hello')", role=self.role)
        functions.invoke(self.function)
        self.mapping = aws.client("lambda").create_event_source_mapping(
            FunctionName=self.function, EventSourceArn=functions.queue().arn
        )["UUID"]
        aws.client("s3").create_bucket(Bucket=self.name)
        aws.client("s3").put_object(Bucket=self.name, Key="a", Body=b"a")
        self.topic = functions.topic(self.queue)
        aws.client("secretsmanager").create_secret(Name=self.name, SecretString="s")
        aws.client("ssm").put_parameter(Name=self.name, Value="v", Type="String")
        dynamodb = aws.client("dynamodb")
        dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        dynamodb.put_item(TableName=self.name, Item={"id": {"S": "a"}})
        kinesis = aws.client("kinesis")
        kinesis.create_stream(StreamName=self.name, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})
        kinesis.put_record(StreamName=self.name, Data=b"a", PartitionKey="a")
        scheduled = functions.role(service="scheduler.amazonaws.com")
        aws.client("scheduler").create_schedule(
            Name=self.name,
            ScheduleExpression="cron(0 0 1 1 ? 2199)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": self.queue.arn, "RoleArn": scheduled},
        )
        aws.client("events").put_rule(Name=self.name, EventPattern='{"source": ["a"]}')
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName=self.name,
            Namespace="n",
            MetricName="m",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )

    def stream_record(self) -> Answer:
        """A record of the table's stream."""
        streams = self.client("dynamodbstreams")
        (stream,) = streams.list_streams(TableName=self.name)["Streams"]
        (shard,) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
        at = streams.get_shard_iterator(
            StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        record: Answer = streams.get_records(ShardIterator=at["ShardIterator"])["Records"][0]
        return record

    def kinesis_records(self) -> Answer:
        """The records of the stream, with what is around them."""
        kinesis = self.client("kinesis")
        at = kinesis.get_shard_iterator(
            StreamName=self.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
        )
        answer: Answer = kinesis.get_records(ShardIterator=at["ShardIterator"])
        return answer

    def message(self) -> Answer:
        """A message of the queue."""
        self.client("sqs").send_message(QueueUrl=self.queue.url, MessageBody="a")
        answer: Answer = self.client("sqs").receive_message(QueueUrl=self.queue.url, AttributeNames=["All"])
        return answer["Messages"][0]  # type: ignore[no-any-return]

    def log_group(self) -> str:
        """The log group of the function, once it has lines."""
        group = f"/aws/lambda/{self.function}"
        eventually(lambda: self.client("logs").describe_log_streams(logGroupName=group)["logStreams"])
        return group


@pytest.fixture(scope="module")
def made(local_aws: Any) -> Resources:
    return Resources(Functions(local_aws))


CALLS: dict[str, tuple[Callable[[Resources], Answer], str]] = {
    "logs FilterLogEvents": (
        lambda it: it.client("logs").filter_log_events(logGroupName=it.log_group())["events"][0],
        "logStreamName timestamp message ingestionTime eventId",
    ),
    "logs GetLogEvents": (
        lambda it: it.client("logs").get_log_events(
            logGroupName=it.log_group(),
            logStreamName=it.client("logs").describe_log_streams(logGroupName=it.log_group())["logStreams"][
                0
            ]["logStreamName"],
        ),
        "events nextForwardToken nextBackwardToken",
    ),
    "logs DescribeLogGroups": (
        lambda it: it.client("logs").describe_log_groups(logGroupNamePrefix=it.log_group())["logGroups"][0],
        "logGroupName creationTime metricFilterCount arn storedBytes logGroupClass logGroupArn",
    ),
    "logs DescribeLogStreams": (
        lambda it: it.client("logs").describe_log_streams(logGroupName=it.log_group())["logStreams"][0],
        "logStreamName creationTime firstEventTimestamp lastEventTimestamp lastIngestionTime "
        "uploadSequenceToken arn storedBytes",
    ),
    "sqs ReceiveMessage": (
        lambda it: it.message(),
        "MessageId ReceiptHandle MD5OfBody Body Attributes",
    ),
    "sqs ReceiveMessage attributes": (
        lambda it: it.message()["Attributes"],
        "SenderId SentTimestamp ApproximateReceiveCount ApproximateFirstReceiveTimestamp",
    ),
    "sqs SendMessage": (
        lambda it: it.client("sqs").send_message(QueueUrl=it.queue.url, MessageBody="a"),
        "MD5OfMessageBody MessageId",
    ),
    "sqs GetQueueAttributes": (
        lambda it: it.client("sqs").get_queue_attributes(QueueUrl=it.queue.url, AttributeNames=["All"])[
            "Attributes"
        ],
        "QueueArn ApproximateNumberOfMessages ApproximateNumberOfMessagesNotVisible "
        "ApproximateNumberOfMessagesDelayed CreatedTimestamp LastModifiedTimestamp VisibilityTimeout "
        "MaximumMessageSize MessageRetentionPeriod DelaySeconds ReceiveMessageWaitTimeSeconds "
        "SqsManagedSseEnabled",
    ),
    "sns GetTopicAttributes": (
        lambda it: it.client("sns").get_topic_attributes(TopicArn=it.topic)["Attributes"],
        "TopicArn Owner Policy DisplayName SubscriptionsConfirmed SubscriptionsPending SubscriptionsDeleted "
        "EffectiveDeliveryPolicy",
    ),
    "sns ListSubscriptionsByTopic": (
        lambda it: it.client("sns").list_subscriptions_by_topic(TopicArn=it.topic)["Subscriptions"][0],
        "SubscriptionArn Owner Protocol Endpoint TopicArn",
    ),
    "lambda GetFunctionConfiguration": (
        lambda it: it.client("lambda").get_function_configuration(FunctionName=it.function),
        "FunctionName FunctionArn Runtime Role Handler CodeSize Description Timeout MemorySize LastModified "
        "CodeSha256 Version TracingConfig RevisionId State LastUpdateStatus PackageType Architectures "
        "EphemeralStorage SnapStart RuntimeVersionConfig LoggingConfig",
    ),
    "lambda GetFunction": (
        lambda it: it.client("lambda").get_function(FunctionName=it.function)["Code"],
        "RepositoryType Location",
    ),
    "lambda GetEventSourceMapping": (
        lambda it: it.client("lambda").get_event_source_mapping(UUID=it.mapping),
        "UUID BatchSize MaximumBatchingWindowInSeconds EventSourceArn FunctionArn LastModified State "
        "StateTransitionReason EventSourceMappingArn",
    ),
    "lambda Invoke": (
        lambda it: it.client("lambda").invoke(FunctionName=it.function),
        "StatusCode ExecutedVersion Payload",
    ),
    "dynamodb DescribeTable": (
        lambda it: it.client("dynamodb").describe_table(TableName=it.name)["Table"],
        "AttributeDefinitions TableName KeySchema TableStatus CreationDateTime ProvisionedThroughput "
        "TableSizeBytes ItemCount TableArn TableId BillingModeSummary DeletionProtectionEnabled "
        "StreamSpecification LatestStreamArn LatestStreamLabel WarmThroughput",
    ),
    "dynamodb Scan": (
        lambda it: it.client("dynamodb").scan(TableName=it.name),
        "Items Count ScannedCount",
    ),
    "dynamodbstreams GetRecords": (
        lambda it: it.stream_record(),
        "eventID eventName eventVersion eventSource awsRegion dynamodb",
    ),
    "dynamodbstreams GetRecords record": (
        lambda it: it.stream_record()["dynamodb"],
        "ApproximateCreationDateTime Keys SequenceNumber SizeBytes StreamViewType",
    ),
    "kinesis GetRecords": (
        lambda it: it.kinesis_records(),
        "Records NextShardIterator MillisBehindLatest",
    ),
    "kinesis GetRecords record": (
        lambda it: it.kinesis_records()["Records"][0],
        "SequenceNumber ApproximateArrivalTimestamp Data PartitionKey",
    ),
    "kinesis DescribeStreamSummary": (
        lambda it: it.client("kinesis").describe_stream_summary(StreamName=it.name)[
            "StreamDescriptionSummary"
        ],
        "StreamName StreamARN StreamStatus StreamModeDetails RetentionPeriodHours StreamCreationTimestamp "
        "EnhancedMonitoring EncryptionType OpenShardCount ConsumerCount",
    ),
    "s3 ListObjectsV2": (
        lambda it: it.client("s3").list_objects_v2(Bucket=it.name),
        "IsTruncated Contents Name Prefix MaxKeys KeyCount",
    ),
    "s3 ListObjectsV2 object": (
        lambda it: it.client("s3").list_objects_v2(Bucket=it.name)["Contents"][0],
        "Key LastModified ETag Size StorageClass",
    ),
    "s3 GetObject": (
        lambda it: it.client("s3").get_object(Bucket=it.name, Key="a"),
        "Body AcceptRanges LastModified ContentLength ETag ContentType ServerSideEncryption Metadata",
    ),
    "secretsmanager GetSecretValue": (
        lambda it: it.client("secretsmanager").get_secret_value(SecretId=it.name),
        "ARN Name VersionId SecretString VersionStages CreatedDate",
    ),
    "ssm GetParameter": (
        lambda it: it.client("ssm").get_parameter(Name=it.name)["Parameter"],
        "Name Type Value Version LastModifiedDate ARN DataType",
    ),
    "scheduler GetSchedule": (
        lambda it: it.client("scheduler").get_schedule(Name=it.name),
        "ActionAfterCompletion Arn CreationDate FlexibleTimeWindow GroupName LastModificationDate Name "
        "ScheduleExpression ScheduleExpressionTimezone State Target",
    ),
    "events DescribeRule": (
        lambda it: it.client("events").describe_rule(Name=it.name),
        "Name Arn EventPattern State EventBusName CreatedBy",
    ),
    "events PutEvents": (
        lambda it: it.client("events").put_events(
            Entries=[{"Source": "a", "DetailType": "b", "Detail": "{}"}]
        )["Entries"][0],
        "EventId",
    ),
    "cloudwatch DescribeAlarms": (
        lambda it: it.client("cloudwatch").describe_alarms(AlarmNames=[it.name])["MetricAlarms"][0],
        "AlarmName AlarmArn AlarmConfigurationUpdatedTimestamp ActionsEnabled OKActions AlarmActions "
        "InsufficientDataActions StateValue StateReason StateUpdatedTimestamp MetricName Namespace Statistic "
        "Dimensions Period EvaluationPeriods Threshold ComparisonOperator",
    ),
    "iam GetRole": (
        lambda it: it.client("iam").get_role(RoleName=it.role.rpartition("/")[2])["Role"],
        "Path RoleName RoleId Arn CreateDate AssumeRolePolicyDocument MaxSessionDuration RoleLastUsed",
    ),
    "sts GetCallerIdentity": (
        lambda it: it.client("sts").get_caller_identity(),
        "UserId Account Arn",
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_answer_has_the_members_that_aws_always_returns(made: Resources, call: str) -> None:
    ask, members = CALLS[call]
    answer = ask(made)
    missing = {name for name in members.split() if answer.get(name) is None}
    assert missing == set(), sorted(answer)
