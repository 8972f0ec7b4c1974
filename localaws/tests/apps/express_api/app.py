"""A REST API that runs an express workflow and answers with its output, which two functions make together.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_apigateway/StepFunctionsRestApi.html
"""

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct


class ExpressApiStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table(
            self,
            "Orders",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        store = tasks.DynamoPutItem(
            self,
            "Store",
            table=table,
            item={
                "id": tasks.DynamoAttributeValue.from_string(sfn.JsonPath.uuid()),
                "name": tasks.DynamoAttributeValue.from_string(sfn.JsonPath.string_at("$.body.name")),
            },
            result_path=sfn.JsonPath.DISCARD,
        )
        greet = sfn.Pass(
            self,
            "Greet",
            parameters={"greeting": sfn.JsonPath.format("Hello, {}!", sfn.JsonPath.string_at("$.body.name"))},
        )
        log_group = logs.LogGroup(self, "Log", removal_policy=cdk.RemovalPolicy.DESTROY)
        machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_type=sfn.StateMachineType.EXPRESS,
            definition_body=sfn.DefinitionBody.from_chainable(store.next(greet)),
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=True),
            tracing_enabled=True,
        )
        apigateway.StepFunctionsRestApi(self, "Api", state_machine=machine)
        cdk.CfnOutput(self, "TableName", value=table.table_name)


app = cdk.App()
ExpressApiStack(app, "ExpressApiStack")
app.synth()
