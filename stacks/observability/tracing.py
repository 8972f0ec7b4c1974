"""Deploys orders through a REST API, a function, a queue and a function into a table, traced in full."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from cdk_lambda_patterns.observability.tracing import SamplingRule, Tracing
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class TracingStack(PatternStack):
    """Every order is traced, no health check is, and a group has the orders that failed.

    A demonstration: deleting the stack deletes the orders and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        source = pattern_source("observability", "tracing")
        timeout = Duration.seconds(29)  # that of the API
        table = make_table(
            self, "Orders", partition_key=text("order_id"), removal_policy=RemovalPolicy.DESTROY
        )
        consumer = SqsConsumer(
            self,
            "Store",
            code=source,
            handler="tracing.handler.handler",
            function_options=FunctionOptions(
                timeout=timeout, memory_size=512, environment={"TABLE_NAME": table.table_name}
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(consumer.function, "dynamodb:PutItem")
        front = HardenedFunction(
            self,
            "Front",
            code=source,
            handler="tracing.front.handler",
            environment={"QUEUE_URL": consumer.queue.queue_url},
            options=FunctionOptions(timeout=timeout, memory_size=512),
            removal_policy=RemovalPolicy.DESTROY,
        )
        consumer.grant_send(front)
        api = self._api(front)
        tracing = Tracing(
            self,
            "Tracing",
            stage=api.deployment_stage,
            rules=[
                SamplingRule(url_path="/health", fixed_rate=0, reservoir_size=0),
                SamplingRule(url_path="/orders", http_method="POST", fixed_rate=1),
            ],
            functions=[front, consumer.function],
            filter_expression="annotation.order_id AND annotation.attempt > 1",
        )
        assert tracing.group is not None
        assert consumer.dead_letter_queue is not None
        self.output("Url", api.url)
        self.output("GroupName", tracing.group.group_name)
        self.output("FrontFunctionName", front.function_name)
        self.output("StoreFunctionName", consumer.function.function_name)
        self.output("TableName", table.table_name)
        self.output("QueueUrl", consumer.queue.queue_url)
        self.output("DeadLetterQueueUrl", consumer.dead_letter_queue.queue_url)

    def _api(self, front: HardenedFunction) -> apigateway.RestApi:
        api = apigateway.RestApi(
            self,
            "Api",
            cloud_watch_role=False,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            deploy_options=apigateway.StageOptions(
                tracing_enabled=True, throttling_rate_limit=100, throttling_burst_limit=50
            ),
        )
        integration = apigateway.LambdaIntegration(front, allow_test_invoke=False)
        for path, method in (("orders", "POST"), ("health", "GET")):
            made = api.root.add_resource(path).add_method(
                method, integration, authorization_type=apigateway.AuthorizationType.IAM
            )
            acknowledge(made, {"AwsSolutions-COG4": "IAM authorises the callers."})
        traced = "The traces have each request and its time; the family web shows access logs."
        acknowledge(
            api.deployment_stage,
            {
                "AwsSolutions-APIG1": traced,
                "Serverless-APIGWAccessLogging": traced,
                "AwsSolutions-APIG3": "A web ACL costs by the month and fits one application.",
                "AwsSolutions-APIG6": "The traces have the errors.",
            },
        )
        acknowledge(api, {"AwsSolutions-APIG2": "The function checks the order."})
        return api
