"""A REST API with a function for each method, and the items in a table.

https://docs.aws.amazon.com/cdk/v2/guide/serverless-example.html
https://github.com/aws-samples/aws-cdk-examples/tree/main/python/apigw-http-api-lambda-dynamodb-python-cdk
"""

import os

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_

app = cdk.App()
stack = cdk.Stack(app, "ItemsApi")

table = dynamodb.Table(
    stack,
    "Items",
    partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
    removal_policy=cdk.RemovalPolicy.DESTROY,
)


def function(name: str) -> lambda_.Function:
    return lambda_.Function(
        stack,
        name.title(),
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler=f"items.{name}",
        code=lambda_.Code.from_asset(os.path.join(os.path.dirname(__file__), "lambda")),
        environment={"TABLE_NAME": table.table_name},
    )


read, write = function("read"), function("write")
table.grant_read_data(read)
table.grant_read_write_data(write)

api = apigateway.RestApi(
    stack,
    "Api",
    default_cors_preflight_options=apigateway.CorsOptions(
        allow_origins=apigateway.Cors.ALL_ORIGINS, allow_methods=apigateway.Cors.ALL_METHODS
    ),
    deploy_options=apigateway.StageOptions(stage_name="v1", throttling_rate_limit=100),
)
items = api.root.add_resource("items")
items.add_method("POST", apigateway.LambdaIntegration(write))
item = items.add_resource("{id}")
item.add_method("GET", apigateway.LambdaIntegration(read))
item.add_method("DELETE", apigateway.LambdaIntegration(write))
app.synth()
