"""A stack with two nested stacks: the methods of an API in one, the tables they use in the other.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk/NestedStack.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class Tables(cdk.NestedStack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.table = dynamodb.Table(
            self,
            "Notes",
            partition_key=dynamodb.Attribute(name="owner", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="created", type=dynamodb.AttributeType.NUMBER),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.table.add_global_secondary_index(
            index_name="by-topic",
            partition_key=dynamodb.Attribute(name="topic", type=dynamodb.AttributeType.STRING),
        )


class Functions(cdk.NestedStack):
    def __init__(self, scope: Construct, construct_id: str, table: dynamodb.ITable, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.function = lambda_.Function(
            self,
            "Search",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="search.handler",
            code=lambda_.Code.from_asset("lambda"),
            environment={"TABLE": table.table_name},
        )
        table.grant_read_data(self.function)


class ParentStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        tables = Tables(self, "Tables", description="What is stored")
        functions = Functions(self, "Functions", tables.table)
        cdk.CfnOutput(self, "TableName", value=tables.table.table_name)
        cdk.CfnOutput(self, "FunctionName", value=functions.function.function_name)


app = cdk.App()
ParentStack(app, "ParentStack")
app.synth()
