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
from cdk_lambda_patterns.observability.service_hooks import (
    AlexaSkill,
    ConfigFunctionRule,
    CustomResourceFunction,
    IotRule,
    LexCodeHook,
    SesInbound,
)
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_SKILL_ID = "amzn1.ask.skill.4d2f0c8e-6c1b-4b0a-9f62-2a1b7c9d0e11"


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
        timeout=Duration.minutes(1),
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
    stack.output("RowsServiceTimeout", str(int(rows.service_timeout.to_seconds())))
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
    """A rule of AWS IoT for readings of sensors that are too high."""
    alarms = IotRule(
        stack,
        "Alarms",
        code=pattern_source("observability", "service_hooks"),
        handler="service_hooks.iot_rule.handler",
        sql="SELECT temperature, sequence, topic(2) AS device, clientid() AS client_id, "
        "timestamp() AS received_at FROM 'sensors/+/readings' WHERE temperature > 30",
        function_options=FunctionOptions(environment=_environment(table, "iot-rule")),
        removal_policy=RemovalPolicy.DESTROY,
    )
    assert alarms.failure_queue is not None
    grant_on_table(alarms.function.execution_role, table, "dynamodb:PutItem")
    stack.output("IotFunctionName", alarms.function.function_name)
    stack.output("IotRuleName", alarms.rule.ref)
    stack.output("IotErrorRoleArn", alarms.error_role.role_arn)
    stack.output("IotErrorQueueUrl", alarms.error_queue.queue_url)
    stack.output("IotFailureQueueUrl", alarms.failure_queue.queue_url)


def _ses_inbound(stack: PatternStack, table: dynamodb.Table) -> None:
    """A receipt rule of SES that makes tickets of mail."""
    tickets = SesInbound(
        stack,
        "Tickets",
        code=pattern_source("observability", "service_hooks"),
        screen_handler="service_hooks.ses_inbound.screen",
        handler="service_hooks.ses_inbound.handler",
        recipients=["help@example.com"],
        function_options=FunctionOptions(environment=_environment(table, "ses-inbound")),
        removal_policy=RemovalPolicy.DESTROY,
    )
    assert tickets.failure_queue is not None
    grant_on_table(tickets.function.execution_role, table, "dynamodb:PutItem")
    stack.output("SesScreenFunctionName", tickets.screen.function_name)
    stack.output("SesFunctionName", tickets.function.function_name)
    stack.output("SesRuleSetName", tickets.rule_set.receipt_rule_set_name)
    stack.output("SesRuleName", tickets.rule.receipt_rule_name)
    stack.output("SesBucketName", tickets.bucket.bucket_name)
    stack.output("SesFailureQueueUrl", tickets.failure_queue.queue_url)


def _skills(stack: PatternStack, table: dynamodb.Table) -> None:
    """The functions of a Lex bot and of an Alexa skill, neither of which is part of the stack."""
    code = pattern_source("observability", "service_hooks")
    bot_alias = stack.format_arn(service="lex", resource="bot-alias", resource_name="COFFEEBOT1/TSTALIASID")
    lex = LexCodeHook(
        stack,
        "CoffeeBot",
        code=code,
        handler="service_hooks.lex.handler",
        bot_alias_arns=[bot_alias],
        function_options=FunctionOptions(environment=_environment(table, "lex")),
        removal_policy=RemovalPolicy.DESTROY,
    )
    alexa = AlexaSkill(
        stack,
        "CoffeeSkill",
        code=code,
        handler="service_hooks.alexa.handler",
        skill_id=_SKILL_ID,
        function_options=FunctionOptions(environment=_environment(table, "alexa")),
        removal_policy=RemovalPolicy.DESTROY,
    )
    for one in (lex, alexa):
        grant_on_table(one.function.execution_role, table, "dynamodb:PutItem")
    stack.output("LexFunctionName", lex.function.function_name)
    stack.output("LexBotAliasArn", bot_alias)
    stack.output("AlexaFunctionName", alexa.function.function_name)
    stack.output("AlexaSkillId", _SKILL_ID)


def _environment(table: dynamodb.Table, service: str) -> dict[str, str]:
    return {"TABLE_NAME": table.table_name, "POWERTOOLS_SERVICE_NAME": service}
