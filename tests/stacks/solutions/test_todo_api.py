"""The stack of the to-do list: each method asks for a user, and the cache and the role know which one."""

from __future__ import annotations

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.stacks.synthesis import read_findings
from tests.templates import Assembly, Resources, read_templates


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
def with_dax(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """The resources of the stack with the option, in which cdk-nag has found nothing."""
    folder = tmp_path_factory.mktemp("dax")
    app = App(context={**app_context(), "dax": "true"}, outdir=str(folder), analytics_reporting=False)
    find("todo-api").make_stack(app)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    app.synth()
    assert list(read_findings(folder)) == []
    return read_templates(folder)["todo-api"]


def test_with_dax_the_function_reaches_the_cluster_over_tls_and_nothing_else(with_dax: Resources) -> None:
    cluster = with_dax.only("AWS::DAX::Cluster")
    assert (cluster["ClusterEndpointEncryptionType"], cluster["SSESpecification"]) == (
        "TLS",
        {"SSEEnabled": True},
    )
    rules = with_dax.all("AWS::EC2::SecurityGroupIngress").values()
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(9111, 9111)]
    allowed = [
        statement["Action"]
        for policy in with_dax.all("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "dax:" in str(statement["Action"])
    ]
    assert allowed == [["dax:DeleteItem", "dax:GetItem", "dax:PutItem", "dax:Query"]]


def test_without_the_option_there_is_no_cluster_and_no_network(catalogue: Assembly) -> None:
    stack = catalogue.stacks["todo-api"]
    assert not [*stack.all("AWS::DAX::Cluster"), *stack.all("AWS::EC2::VPC")]
