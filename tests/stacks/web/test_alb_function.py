"""The stack of the notes service: the table, the permissions of the function, and the context."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import App

from stacks.catalogue import find
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_templates


@pytest.fixture
def deployed(catalogue: Assembly) -> Resources:
    """The stack without context."""
    return catalogue.stacks["alb-function"]


def test_the_role_has_exactly_these_actions(deployed: Resources) -> None:
    assert deployed.actions("NotesFunctionServiceRole") == {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }


def test_only_the_index_may_be_queried(deployed: Resources) -> None:
    statements = deployed.statements("NotesFunctionServiceRole")
    (query,) = (one for one in statements if one["Action"] == "dynamodb:Query")
    assert query["Resource"]["Fn::Join"][1][1] == "/index/by-time"


def test_the_index_by_time_omits_the_contents(deployed: Resources) -> None:
    table = deployed.only("AWS::DynamoDB::Table")
    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["Projection"]["NonKeyAttributes"] == ["content_type", "size_bytes", "tags"]
    assert deployed.function()["Environment"]["Variables"]["INDEX_NAME"] == index["IndexName"]


def test_deleting_the_stack_deletes_notes_and_logs(deployed: Resources) -> None:
    for kind in ("AWS::DynamoDB::Table", "AWS::Logs::LogGroup"):
        (name,) = deployed.all(kind)
        resource = deployed.template["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_the_context_sets_the_certificate(deployed: Resources, tmp_path: Path) -> None:
    context = {
        **app_context(),
        "certificate-arn": "arn:aws:acm:eu-west-1:123456789012:certificate/0123",
    }
    app = App(context=context, outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    find("alb-function").make_stack(app)
    app.synth()
    changed = read_templates(tmp_path)["alb-function"]
    assert changed.only("AWS::ElasticLoadBalancingV2::Listener", Port=443)
    assert deployed.only("AWS::ElasticLoadBalancingV2::Listener")["Port"] == 80
