"""Deploys a function behind each of the remaining services that invoke functions."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_config as config
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import grant_on_table
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.observability.service_hooks import ConfigFunctionRule, CustomResourceFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ServiceHooksStack(PatternStack):
    """A custom resource, a Config rule, an IoT rule, an SES receipt rule, a Lex bot and an Alexa skill.

    Each hook records what it did in one table, under a partition key of its own. A demonstration: deleting
    the stack deletes everything (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(self, "Records", partition_key=text("id"), removal_policy=RemovalPolicy.DESTROY)
        self.output("TableName", table.table_name)
        _custom_resource(self, table)
        _config_rule(self)
        _iot_rule(self, table)
        _ses_inbound(self, table)
        _skills(self, table)


def _custom_resource(stack: PatternStack, table: dynamodb.Table) -> None:
    """A function that writes rows of the table when stacks are deployed, and one row."""
    rows = CustomResourceFunction(
        stack,
        "Rows",
        code=pattern_source("observability", "service_hooks"),
        handler="service_hooks.custom_resource.handler",
        timeout=Duration.seconds(20),
        function_options=FunctionOptions(environment={"TABLE_NAME": table.table_name}),
        removal_policy=RemovalPolicy.DESTROY,
    )
    assert isinstance(rows.function, HardenedFunction)
    grant_on_table(rows.function.execution_role, table, "dynamodb:PutItem", "dynamodb:DeleteItem")
    hours = rows.add_resource(
        "Hours", resource_type="Custom::Row", properties={"Key": "hours", "Text": "9 to 5"}
    )
    stack.output("HoursLength", hours.get_att_string("Length"))
    stack.output("RowsServiceToken", rows.service_token)
    stack.output("RowsFunctionName", rows.function.function_name)
    stack.output("AnswersFunctionName", rows.answering_function.function_name)
    stack.output("AnswersFailureQueueUrl", rows.failure_queue.queue_url)


def _config_rule(stack: PatternStack) -> None:
    """A rule of AWS Config: functions have one of these runtimes."""
    runtimes = ConfigFunctionRule(
        stack,
        "Runtimes",
        code=pattern_source("observability", "service_hooks"),
        handler="service_hooks.config_rule.handler",
        resource_types=[config.ResourceType.LAMBDA_FUNCTION],
        frequency=config.MaximumExecutionFrequency.TWENTY_FOUR_HOURS,
        parameters={"runtimes": "python3.14,python3.13"},
        description="Functions run on a recent Python",
        removal_policy=RemovalPolicy.DESTROY,
    )
    role = runtimes.function.execution_role
    role.add_to_policy(iam.PolicyStatement(actions=["lambda:ListFunctions"], resources=["*"]))
    stack.output("RuntimesRuleName", runtimes.rule.config_rule_name)
    stack.output("RuntimesRuleArn", runtimes.rule.config_rule_arn)
    stack.output("RuntimesFunctionName", runtimes.function.function_name)
    stack.output("RuntimesFailureQueueUrl", runtimes.failure_queue.queue_url)


def _iot_rule(stack: PatternStack, table: dynamodb.Table) -> None:
    """A rule of IoT Core."""


def _ses_inbound(stack: PatternStack, table: dynamodb.Table) -> None:
    """A receipt rule of SES."""


def _skills(stack: PatternStack, table: dynamodb.Table) -> None:
    """A Lex bot and an Alexa skill."""
