"""An HTTP API in front of a function that counts the visits of each path.

https://github.com/cdk-patterns/serverless/tree/main/the-simple-webservice
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_apigatewayv2_integrations/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct


class HitCounterStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.TableV2(
            self,
            "Hits",
            partition_key=dynamodb.Attribute(name="path", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Counter",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="counter.handler",
            code=lambda_.Code.from_asset("lambda"),
            environment={"HITS_TABLE_NAME": table.table_name},
        )
        table.grant_read_write_data(function)
        api = apigwv2.HttpApi(
            self, "Api", default_integration=HttpLambdaIntegration("CounterIntegration", function)
        )
        api.add_routes(
            path="/books/{isbn}",
            methods=[apigwv2.HttpMethod.GET],
            integration=HttpLambdaIntegration("BookIntegration", function),
        )
        cdk.CfnOutput(self, "ApiUrl", value=api.url)


app = cdk.App()
HitCounterStack(app, "HitCounterStack")
app.synth()
