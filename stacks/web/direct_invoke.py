"""Deploys a function that books charges, and a caller in the same account."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.web.direct_invoke import DirectInvoke
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class DirectInvokeStack(PatternStack):
    """Charges that are booked once, for a caller with a client that retries.

    The context ``caller-account`` admits another account, ``organization`` the accounts of an organization.

    A demonstration: deleting the stack deletes the charges (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(
            self,
            "Booked",
            partition_key=text("idempotency_key"),
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        source = pattern_source("web", "direct_invoke")
        function = HardenedFunction(
            self,
            "Function",
            code=source,
            handler="direct_invoke.handler.handler",
            description="Books a charge once",
            environment={"TABLE_NAME": table.table_name},
            asynchronous=AsyncOptions(retry_attempts=1),
            options=FunctionOptions(memory_size=256, timeout=Duration.seconds(3)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(function, "dynamodb:PutItem")
        charges = DirectInvoke(self, "Charges", function=function, alias_name="live")
        caller = HardenedFunction(
            self,
            "Caller",
            code=source,
            handler="direct_invoke.caller.handler",
            description="Calls the function that books charges",
            environment={"TARGET_ARN": charges.target.function_arn},
            options=FunctionOptions(memory_size=256, timeout=Duration.seconds(35)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        charges.grant_invoke(caller)
        if account := self.node.try_get_context("caller-account"):
            charges.grant_invoke_to_account(str(account))
        if organization := self.node.try_get_context("organization"):
            charges.grant_invoke_to_organization(str(organization))
        self.output("FunctionName", function.function_name)
        self.output("AliasArn", charges.target.function_arn)
        self.output("CallerFunctionName", caller.function_name)
        self.output("TableName", table.table_name)
        if function.failure_queue is not None:
            self.output("FailureQueueUrl", function.failure_queue.queue_url)
