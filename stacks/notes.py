"""The notes service that answers behind the fronts of the family ``web``: a function over a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.data.private_function import PrivateFunction

INDEX_NAME = "by-time"


class NotesService(NamedTuple):
    """The function, and the table that holds its notes."""

    function: HardenedFunction
    table: dynamodb.Table


def make_notes_service(
    scope: Construct,
    *,
    code: Path,
    handler: str,
    description: str,
    network: PrivateNetwork | None = None,
    layers: Sequence[lambda_.ILayerVersion] | None = None,
) -> NotesService:
    """Make the function with a front's handler, and the table.

    Args:
        scope: What the two belong to. They have the ids ``Table`` and ``Function`` in it.
        code: The folder of the handler.
        handler: The handler.
        description: The description of the function.
        network: The network that the function runs in. Default: none of yours.
        layers: Layers of the function.
    """
    table = make_table(scope, "Table", partition_key=text("name"), removal_policy=RemovalPolicy.DESTROY)
    table.add_global_secondary_index(
        index_name=INDEX_NAME,
        partition_key=text("kind"),
        sort_key=text("updated_at"),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["content_type", "size_bytes", "tags"],
    )
    options = FunctionOptions(
        memory_size=512,
        timeout=Duration.seconds(10),
        environment={
            "TABLE_NAME": table.table_name,
            "INDEX_NAME": INDEX_NAME,
            "POWERTOOLS_SERVICE_NAME": "notes",
        },
        layers=layers,
    )
    settings: dict[str, Any] = {
        "code": code,
        "handler": handler,
        "description": description,
        "options": options,
        "removal_policy": RemovalPolicy.DESTROY,
    }
    function = (
        HardenedFunction(scope, "Function", **settings)
        if network is None
        else PrivateFunction(
            scope,
            "Function",
            network=network,
            services=[ec2.GatewayVpcEndpointAwsService.DYNAMODB],
            **settings,
        )
    )
    # Without the table's own grant methods, which grant the same actions on every index too.
    for actions, resource in (
        (["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"], table.table_arn),
        (["dynamodb:Query"], f"{table.table_arn}/index/{INDEX_NAME}"),
    ):
        iam.Grant.add_to_principal(grantee=function.execution_role, actions=actions, resource_arns=[resource])
    return NotesService(function, table)
