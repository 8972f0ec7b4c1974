"""The stack of the to-do list: each method asks for a user, and the cache and the role know which one."""

from __future__ import annotations

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly


def test_every_method_asks_for_a_user(catalogue: Assembly) -> None:
    methods = catalogue.stacks["todo-api"].all("AWS::ApiGateway::Method").values()
    assert {one["AuthorizationType"] for one in methods} == {"COGNITO_USER_POOLS"}


def test_the_key_of_the_cache_holds_the_token(catalogue: Assembly) -> None:
    methods = catalogue.stacks["todo-api"].all("AWS::ApiGateway::Method").values()
    keys = [
        one["Integration"]["CacheKeyParameters"]
        for one in methods
        if one["Integration"].get("CacheKeyParameters")
    ]
    assert keys == [["method.request.path.name", "method.request.header.Authorization"]]


def test_users_have_their_own_prefix_and_nothing_else(catalogue: Assembly) -> None:
    stack = catalogue.stacks["todo-api"]
    (policy,) = [
        one
        for name, one in stack.all("AWS::IAM::Policy").items()
        if name.startswith("IdentitiesAuthenticatedRole")
    ]
    objects, listing = policy["PolicyDocument"]["Statement"]
    own = "${cognito-identity.amazonaws.com:sub}"
    assert objects["Resource"]["Fn::Join"][1][-1] == f"/{own}/*"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": f"{own}/*"}}


@pytest.fixture(scope="module")
def with_dax() -> Template:
    """The stack with the option."""
    app = App(context={**app_context(), "dax": "true"})
    return Template.from_stack(find("todo-api").make_stack(app))


def test_with_dax_the_function_reaches_the_cluster_over_tls_and_nothing_else(with_dax: Template) -> None:
    with_dax.has_resource_properties(
        "AWS::DAX::Cluster",
        {"ClusterEndpointEncryptionType": "TLS", "SSESpecification": {"SSEEnabled": True}},
    )
    rules = [one["Properties"] for one in with_dax.find_resources("AWS::EC2::SecurityGroupIngress").values()]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(9111, 9111)]
    allowed = [
        statement["Action"]
        for policy in with_dax.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "dax:" in str(statement["Action"])
    ]
    assert allowed == [["dax:DeleteItem", "dax:GetItem", "dax:PutItem", "dax:Query"]]


def test_without_the_option_there_is_no_cluster_and_no_network(catalogue: Assembly) -> None:
    stack = catalogue.stacks["todo-api"]
    assert not [*stack.all("AWS::DAX::Cluster"), *stack.all("AWS::EC2::VPC")]
