"""A worker that takes messages from a queue; what it cannot process comes to a dead-letter queue.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_lambda_event_sources/README.html
"""

import os

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class WorkerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        dead_letters = sqs.Queue(self, "DeadLetters", retention_period=cdk.Duration.days(14))
        jobs = sqs.Queue(
            self,
            "Jobs",
            visibility_timeout=cdk.Duration.seconds(60),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=2),
        )
        results = dynamodb.Table(
            self,
            "Results",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        worker = lambda_.Function(
            self,
            "Worker",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="worker.handler",
            code=lambda_.Code.from_asset(os.path.join(os.path.dirname(__file__), "lambda")),
            timeout=cdk.Duration.seconds(10),
            environment={"TABLE": results.table_name},
        )
        results.grant_write_data(worker)
        worker.add_event_source(
            sources.SqsEventSource(
                jobs,
                batch_size=10,
                max_batching_window=cdk.Duration.seconds(1),
                report_batch_item_failures=True,
                max_concurrency=2,
            )
        )
        cdk.CfnOutput(self, "JobsUrl", value=jobs.queue_url)
        cdk.CfnOutput(self, "DeadLettersUrl", value=dead_letters.queue_url)
        cdk.CfnOutput(self, "ResultsName", value=results.table_name)


app = cdk.App()
WorkerStack(app, "WorkerStack")
app.synth()
