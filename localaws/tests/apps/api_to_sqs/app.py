"""A REST API that writes requests to a queue without a function between, and a function that reads them.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/api-sqs-lambda
"""

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class WebhookStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        queue = sqs.Queue(self, "Queue")
        role = iam.Role(self, "ApiRole", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
        queue.grant_send_messages(role)
        integration = apigateway.AwsIntegration(
            service="sqs",
            path=f"{self.account}/{queue.queue_name}",
            integration_http_method="POST",
            options=apigateway.IntegrationOptions(
                credentials_role=role,
                passthrough_behavior=apigateway.PassthroughBehavior.NEVER,
                request_parameters={
                    "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"
                },
                request_templates={
                    "application/json": "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
                },
                integration_responses=[
                    apigateway.IntegrationResponse(
                        status_code="202", response_templates={"application/json": '{"accepted": true}'}
                    ),
                    apigateway.IntegrationResponse(status_code="500", selection_pattern="[45]\\d{2}"),
                ],
            ),
        )
        api = apigateway.RestApi(self, "Api")
        responses = [apigateway.MethodResponse(status_code=code) for code in ("202", "500")]
        api.root.add_resource("hooks").add_method("POST", integration, method_responses=responses)
        reader = lambda_.Function(
            self,
            "Reader",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.InlineCode(
                "def handler(event, context):\n  for each in event['Records']:\n   print('got', each['body'])"
            ),
        )
        reader.add_event_source(sources.SqsEventSource(queue))
        cdk.CfnOutput(self, "ReaderName", value=reader.function_name)


app = cdk.App()
WebhookStack(app, "WebhookStack")
app.synth()
