"""The notes service that answers behind the fronts of the family ``web``: a function over a table."""

from pathlib import Path
from typing import NamedTuple

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.table import make_table, text

_INDEX_NAME = "by-time"


class NotesService(NamedTuple):
    """The function, and the table that holds its notes."""

    function: HardenedFunction
    table: dynamodb.Table


def make_notes_service(scope: Construct, *, code: Path, handler: str, description: str) -> NotesService:
    """Make the function with a front's handler, and the table.

    Args:
        scope: What the two belong to. They have the ids ``Table`` and ``Function`` in it.
        code: The folder of the handler.
        handler: The handler.
        description: The description of the function.
    """
    table = make_table(scope, "Table", partition_key=text("name"), removal_policy=RemovalPolicy.DESTROY)
    table.add_global_secondary_index(
        index_name=_INDEX_NAME,
        partition_key=text("kind"),
        sort_key=text("updated_at"),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["content_type", "size_bytes", "tags"],
    )
    function = HardenedFunction(
        scope,
        "Function",
        code=code,
        handler=handler,
        description=description,
        options=FunctionOptions(
            memory_size=512,
            timeout=Duration.seconds(10),
            environment={
                "TABLE_NAME": table.table_name,
                "INDEX_NAME": _INDEX_NAME,
                "POWERTOOLS_SERVICE_NAME": "notes",
            },
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    # Without the table's own grant methods, which grant the same actions on every index too.
    for actions, resource in (
        (["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"], table.table_arn),
        (["dynamodb:Query"], f"{table.table_arn}/index/{_INDEX_NAME}"),
    ):
        iam.Grant.add_to_principal(grantee=function.execution_role, actions=actions, resource_arns=[resource])
    return NotesService(function, table)
