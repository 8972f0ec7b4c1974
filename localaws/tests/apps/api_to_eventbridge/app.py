"""An HTTP API that puts events on the default bus without a function, and a rule that passes them to one.

https://github.com/cdk-patterns/serverless/tree/main/the-eventbridge-etl
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class ApiEventBridgeStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bus = events.EventBus.from_event_bus_name(self, "Default", "default")
        api = apigwv2.HttpApi(self, "Api")
        role = iam.Role(self, "ApiRole", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
        bus.grant_put_events_to(role)
        integration = apigwv2.CfnIntegration(
            self,
            "Integration",
            api_id=api.http_api_id,
            integration_type="AWS_PROXY",
            integration_subtype="EventBridge-PutEvents",
            credentials_arn=role.role_arn,
            payload_format_version="1.0",
            request_parameters={
                "Source": "shop",
                "DetailType": "$request.path.kind",
                "Detail": "$request.body",
                "EventBusName": bus.event_bus_name,
            },
        )
        apigwv2.CfnRoute(
            self,
            "Route",
            api_id=api.http_api_id,
            route_key="POST /events/{kind}",
            target=f"integrations/{integration.ref}",
        )
        function = lambda_.Function(
            self,
            "Consumer",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(
                "def handler(event, context):\n    print(event['detail-type'], event['detail'])\n"
            ),
        )
        rule = events.Rule(self, "Rule", event_pattern=events.EventPattern(source=["shop"]))
        rule.add_target(targets.LambdaFunction(function))
        cdk.CfnOutput(self, "ApiUrl", value=api.api_endpoint)
        cdk.CfnOutput(self, "ConsumerName", value=function.function_name)


app = cdk.App()
ApiEventBridgeStack(app, "ApiEventBridgeStack")
app.synth()
