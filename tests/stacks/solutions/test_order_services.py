"""The shop of three services: each owns its data, and another environment is another copy of everything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_templates

# The roles that use tables, and the services whose tables they may use. The workflow is part of the orders.
SERVICES = {"Catalogue", "Orders", "Shipping"}


def service_of(stack: Resources, logical_id: str) -> str:
    """The service that a resource is part of: the first construct in its path, and in its logical id."""
    return next(service for service in SERVICES if logical_id.startswith(service))


def test_no_role_of_a_service_may_use_a_table_of_another_one(catalogue: Assembly) -> None:
    stack = catalogue.stacks["order-services"]
    tables = stack.all("AWS::DynamoDB::Table")
    used = {
        (service_of(stack, role["Ref"]), service_of(stack, table))
        for policy in stack.all("AWS::IAM::Policy").values()
        for role in policy["Roles"]
        for table in tables
        if re.search(rf'"{table}"', json.dumps(policy["PolicyDocument"]))
    }
    assert used == {(service, service) for service in SERVICES}
    assert {service_of(stack, table) for table in tables} == SERVICES


def test_the_workflow_undoes_in_reverse_order_what_it_has_done(catalogue: Assembly) -> None:
    machine = catalogue.stacks["order-services"].only("AWS::StepFunctions::StateMachine")
    parts = machine["DefinitionString"]["Fn::Join"][1]
    states = json.loads("".join(one if isinstance(one, str) else "x" for one in parts))["States"]
    assert [states[name].get("Next") for name in ("Reserve", "Ship", "Shipped")] == ["Ship", "Shipped", None]
    (refused,) = states["Ship"]["Catch"]
    assert (refused["ErrorEquals"], refused["Next"]) == (["ShippingRefused", "States.Timeout"], "Cancel")
    assert [states[name].get("Next") for name in ("Cancel", "Release", "Rejected")] == [
        *("Release", "Rejected", None)
    ]
    # The stock is given back only when shipping has answered that it ships nothing.
    assert states["Cancel"]["Resource"].endswith("sqs:sendMessage.waitForTaskToken")
    assert "Catch" not in states["Cancel"]
    # Each task outlives a service that is down for a day: 600 times half of five minutes.
    for state in states.values():
        every = state["Retry"][-1]
        assert (every["ErrorEquals"], every["MaxAttempts"], every["MaxDelaySeconds"]) == (
            ["States.ALL"],
            600,
            300,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Resources]:
    """The manifest's artifact and the resources of another environment."""
    folder = tmp_path_factory.mktemp("environment")
    context = {**app_context(), "environment": "test"}
    app = App(context=context, outdir=str(folder), builtin_cloud_formation_validation=False)
    find("order-services").make_stack(app)
    app.synth()
    manifest = json.loads(Path(folder, "manifest.json").read_text())
    return manifest["artifacts"]["order-services"], read_templates(folder)["order-services"]


def types(template: dict[str, Any]) -> dict[str, str]:
    """The type of each resource, apart from deployments of the API, which have its hash in their id."""
    return {
        logical_id: resource["Type"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] != "AWS::ApiGateway::Deployment"
    }


def test_an_environment_is_a_copy_with_a_name_of_its_own(
    catalogue: Assembly, environment: tuple[dict[str, Any], Resources]
) -> None:
    artifact, copy = environment
    assert artifact["properties"]["stackName"] == "order-services-test"
    assert copy.only("AWS::ApiGateway::RestApi")["Name"] == "order-services-test"
    assert copy.template["Outputs"]["Environment"]["Value"] == "test"
    original = catalogue.stacks["order-services"].template
    assert types(copy.template) == types(original)
    assert copy.template["Outputs"].keys() == original["Outputs"].keys()
    assert not [one for one in copy.template["Outputs"].values() if "Export" in one]


def test_no_resource_has_a_name_that_another_copy_would_have(
    environment: tuple[dict[str, Any], Resources],
) -> None:
    _, copy = environment
    # A name in an API or a role is one of that API or role, of which each copy has its own.
    parts = ("AWS::ApiGateway::", "AWS::IAM::Policy")
    named = {
        f"{resource['Type']}.{name}": value
        for resource in copy.template["Resources"].values()
        if not resource["Type"].startswith(parts) or resource["Type"] == "AWS::ApiGateway::RestApi"
        for name, value in resource.get("Properties", {}).items()
        if name.endswith("Name") and isinstance(value, str)
    }
    assert named == {"AWS::ApiGateway::RestApi.Name": "order-services-test"}
