"""Deploys a function behind each of the remaining services that invoke functions."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_lambda_patterns.core.table import make_table, text
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
        _config_rule(self, table)
        _iot_rule(self, table)
        _ses_inbound(self, table)
        _skills(self, table)


def _custom_resource(stack: PatternStack, table: dynamodb.Table) -> None:
    """A function that writes rows of the table when stacks are deployed."""


def _config_rule(stack: PatternStack, table: dynamodb.Table) -> None:
    """A rule of AWS Config."""


def _iot_rule(stack: PatternStack, table: dynamodb.Table) -> None:
    """A rule of IoT Core."""


def _ses_inbound(stack: PatternStack, table: dynamodb.Table) -> None:
    """A receipt rule of SES."""


def _skills(stack: PatternStack, table: dynamodb.Table) -> None:
    """A Lex bot and an Alexa skill."""
