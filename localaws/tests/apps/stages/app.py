"""Two stages of an application with two stacks each: storage, and the service that uses it.

https://docs.aws.amazon.com/cdk/v2/guide/stages.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CODE = """
import boto3, os
def handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    table.put_item(Item={"id": event["id"], "stage": os.environ["STAGE"]})
    return os.environ["STAGE"]
"""


class StorageStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        cdk.CfnOutput(self, "TableName", value=self.table.table_name)


class ServiceStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, table: dynamodb.ITable, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"TABLE": table.table_name, "STAGE": cdk.Stage.of(self).stage_name},
        )
        table.grant_write_data(function)
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


class Application(cdk.Stage):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        storage = StorageStack(self, "Storage")
        ServiceStack(self, "Service", storage.table)


app = cdk.App()
Application(app, "Beta", env=cdk.Environment(region="us-east-1"))
Application(app, "Prod")
app.synth()
