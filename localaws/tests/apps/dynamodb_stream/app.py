"""A table whose changes invoke a function: one that filters inserts and writes them to a second table.

https://github.com/cdk-patterns/serverless/tree/main/the-dynamo-streamer
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_lambda_event_sources/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    for record in event["Records"]:
        image = record["dynamodb"]["NewImage"]
        table.put_item(Item={"id": image["id"]["S"], "total": image["total"]["N"]})
"""


class DynamoStreamerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
        orders = dynamodb.Table(
            self,
            "Orders",
            partition_key=key,
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            time_to_live_attribute="expires",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        audit = dynamodb.Table(self, "Audit", partition_key=key, removal_policy=cdk.RemovalPolicy.DESTROY)
        function = lambda_.Function(
            self,
            "Subscriber",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"TABLE": audit.table_name},
        )
        audit.grant(function, "dynamodb:PutItem")
        inserts = lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})
        function.add_event_source(
            sources.DynamoEventSource(
                orders, starting_position=lambda_.StartingPosition.LATEST, filters=[inserts], retry_attempts=3
            )
        )
        cdk.CfnOutput(self, "OrdersName", value=orders.table_name)
        cdk.CfnOutput(self, "AuditName", value=audit.table_name)
        cdk.CfnOutput(self, "SubscriberName", value=function.function_name)


app = cdk.App()
DynamoStreamerStack(app, "DynamoStreamerStack")
app.synth()
