"""Deploys a function in isolated subnets, another function, a table and a queue; deleted with the stack."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.failure_queue import encrypt_by_default, make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import grant_send
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.data.private_function import PrivateFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class PrivateFunctionStack(PatternStack):
    """A function in isolated subnets that reaches only DynamoDB, SQS and Lambda, each through its endpoint.

    A demonstration: deleting the stack deletes table and queue too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(
            self,
            "Orders",
            partition_key=text("order_id"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        failed = make_failure_queue(self, "Failed", removal_policy=RemovalPolicy.DESTROY)
        queue = sqs.Queue(
            self,
            "OrderQueue",
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=failed, max_receive_count=5),
            removal_policy=RemovalPolicy.DESTROY,
        )
        encrypt_by_default(queue)
        prices = HardenedFunction(
            self,
            "Prices",
            code=pattern_source("data", "private_function"),
            handler="private_function.prices.handler",
            description="Knows the prices; invoked through the endpoint of Lambda",
            options=FunctionOptions(memory_size=256, timeout=Duration.seconds(4)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        network = PrivateNetwork(self, "Network")
        function = PrivateFunction(
            self,
            "Function",
            code=pattern_source("data", "private_function"),
            handler="private_function.handler.handler",
            network=network,
            services=[
                ec2.GatewayVpcEndpointAwsService.DYNAMODB,
                ec2.InterfaceVpcEndpointAwsService.SQS,
                ec2.InterfaceVpcEndpointAwsService.LAMBDA_,
            ],
            description="Stores orders and sends them to a queue, without internet access",
            environment={
                "TABLE_NAME": table.table_name,
                "QUEUE_URL": queue.queue_url,
                "PRICES_FUNCTION": prices.function_name,
            },
            options=FunctionOptions(memory_size=512, timeout=Duration.seconds(20)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(function.execution_role, "dynamodb:PutItem")
        grant_send(function.execution_role, queue)
        function.add_to_role_policy(
            # Without the qualified ARNs of CDK's grant_invoke: only the function itself is invoked.
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[prices.function_arn])
        )
        self.output("FunctionName", function.function_name)
        self.output("TableName", table.table_name)
        self.output("QueueUrl", queue.queue_url)
        self.output("VpcId", network.vpc.vpc_id)
