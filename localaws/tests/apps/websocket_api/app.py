"""A WebSocket API: the connections are in a table, and what one client says is sent to all.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_apigatewayv2/README.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-chat-app.html
"""

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_integrations import WebSocketLambdaIntegration
from constructs import Construct


class ChatStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table(
            self,
            "Connections",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Chat",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="chat.handler",
            code=lambda_.Code.from_asset("lambda"),
            environment={"TABLE": table.table_name},
        )
        table.grant_read_write_data(function)

        def route(name: str) -> apigwv2.WebSocketRouteOptions:
            return apigwv2.WebSocketRouteOptions(integration=WebSocketLambdaIntegration(name, function))

        api = apigwv2.WebSocketApi(
            self,
            "Api",
            connect_route_options=route("Connect"),
            disconnect_route_options=route("Disconnect"),
            default_route_options=route("Message"),
        )
        api.add_route("say", integration=WebSocketLambdaIntegration("Say", function))
        stage = apigwv2.WebSocketStage(self, "Stage", web_socket_api=api, stage_name="prod", auto_deploy=True)
        api.grant_manage_connections(function)
        cdk.CfnOutput(self, "Url", value=stage.url)
        cdk.CfnOutput(self, "TableName", value=table.table_name)


app = cdk.App()
ChatStack(app, "ChatStack")
app.synth()
