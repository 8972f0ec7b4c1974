"""A custom resource with the provider framework: a seed of items in a table, kept up by a function.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.custom_resources/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import custom_resources as cr
from constructs import Construct


class SeededTable(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, items: dict[str, str]) -> None:
        super().__init__(scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        seeder = lambda_.Function(
            self,
            "Seeder",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="seed.on_event",
            code=lambda_.Code.from_asset("lambda"),
        )
        self.table.grant_read_write_data(seeder)
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_DAY, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        provider = cr.Provider(self, "Provider", on_event_handler=seeder, log_group=log_group)
        seed = cdk.CustomResource(
            self,
            "Seed",
            service_token=provider.service_token,
            resource_type="Custom::TableSeed",
            properties={"TableName": self.table.table_name, "Items": items},
        )
        self.count = seed.get_att_string("Count")


app = cdk.App()
stack = cdk.Stack(app, "SeedStack")
colours = {"red": "#f00", "green": "#0f0"} | ({"blue": "#00f"} if app.node.try_get_context("more") else {})
seeded = SeededTable(stack, "Colours", items=colours)
cdk.CfnOutput(stack, "TableName", value=seeded.table.table_name)
cdk.CfnOutput(stack, "Count", value=seeded.count)
app.synth()
