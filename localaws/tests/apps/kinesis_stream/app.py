"""A function that reads a stream in batches and counts what it saw in each partition.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/lambda-triggered-by-existing-kinesis-stream
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_lambda_event_sources/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class ReadingsStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        stream = kinesis.Stream(self, "Readings", shard_count=2, removal_policy=cdk.RemovalPolicy.DESTROY)
        totals = dynamodb.TableV2(
            self,
            "Totals",
            partition_key=dynamodb.Attribute(name="sensor", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Aggregate",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="aggregate.handler",
            code=lambda_.Code.from_asset("lambda"),
            environment={"TABLE": totals.table_name},
        )
        totals.grant_read_write_data(function)
        failed = sqs.Queue(self, "Failed")
        function.add_event_source(
            sources.KinesisEventSource(
                stream,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=100,
                bisect_batch_on_error=True,
                retry_attempts=2,
                on_failure=sources.SqsDlq(failed),
            )
        )
        cdk.CfnOutput(self, "StreamName", value=stream.stream_name)
        cdk.CfnOutput(self, "TotalsName", value=totals.table_name)
        cdk.CfnOutput(self, "FailedUrl", value=failed.queue_url)


app = cdk.App()
ReadingsStack(app, "ReadingsStack")
app.synth()
