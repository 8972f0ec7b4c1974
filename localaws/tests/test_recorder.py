"""A property that was accepted and never read is reported, and one that was read is not."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from helpers.processes_of import LAMBDA_MAY_ASSUME
from helpers.stacks import deploy
from localaws import Dropped, LocalAws, patching
from localaws.recorder import RecordingDict, recorded, report

_PROPERTIES = {
    "Name": "n",
    "Encryption": {"Enabled": True, "KeyId": "k"},
    "Rules": [{"Id": "1", "Status": "Enabled"}, {"Id": "2", "Status": "Enabled"}],
}


@pytest.fixture(autouse=True)
def _empty_report() -> None:
    report.clear()


def _dropped_by(handler: Callable[[Any], object]) -> list[str]:
    """What a create handler drops."""

    def create(logical_id: str, properties: Any, stack: str) -> tuple[str, dict[str, Any]]:
        handler(properties)
        return "id", {}

    recorded("T", {"create": create})["create"]("L", _PROPERTIES, "s")
    return _dropped()


def _dropped() -> list[str]:
    return [one.property for one in report.dropped()]


@pytest.mark.parametrize(
    ("handler", "dropped"),
    [
        pytest.param(lambda p: None, ["Encryption", "Name", "Rules"], id="nothing is read"),
        pytest.param(lambda p: (p["Name"], p.get("Rules")), ["Encryption"], id="[] and get"),
        pytest.param(lambda p: p.get("Name", "default"), ["Encryption", "Rules"], id="get with a default"),
        pytest.param(lambda p: p.pop("Name"), ["Encryption", "Rules"], id="pop"),
        pytest.param(lambda p: "Name" in p, ["Encryption", "Name", "Rules"], id="in is no read"),
        pytest.param(lambda p: sorted(p), ["Encryption", "Name", "Rules"], id="keys are no read"),
        pytest.param(lambda p: dict(p), [], id="dict()"),
        pytest.param(lambda p: {**p}, [], id="**"),
        pytest.param(lambda p: (lambda **k: k)(**p), [], id="** in a call"),
        pytest.param(lambda p: {} | p, [], id="|"),
        pytest.param(lambda p: {}.update(p), [], id="update"),
        pytest.param(lambda p: p.copy(), [], id="copy"),
        pytest.param(copy.copy, [], id="copy.copy"),
        pytest.param(copy.deepcopy, [], id="deepcopy"),
        pytest.param(pickle.dumps, [], id="pickle"),
        pytest.param(json.dumps, [], id="json.dumps"),
        pytest.param(lambda p: list(p.items()), [], id="items"),
        pytest.param(lambda p: list(p.values()), [], id="values"),
        pytest.param(
            lambda p: p["Encryption"]["Enabled"],
            ["Encryption.KeyId", "Name", "Rules"],
            id="a neighbour in a nested dict",
        ),
        pytest.param(
            lambda p: [rule["Id"] for rule in p["Rules"]],
            ["Encryption", "Name", "Rules.Status"],
            id="a neighbour in a list of dicts",
        ),
        pytest.param(lambda p: json.dumps(p["Encryption"]), ["Name", "Rules"], id="a nested dict as a whole"),
        pytest.param(
            lambda p: bool(p["Encryption"]), ["Name", "Rules"], id="a nested dict without individual reads"
        ),
    ],
)
def test_these_accesses_count_as_reading(handler: Callable[[Any], object], dropped: list[str]) -> None:
    assert _dropped_by(handler) == dropped


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_resource_that_was_refused_has_ignored_nothing(operation: str) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("refused")

    handlers = recorded("T", {"create": refuse, "update": refuse})
    arguments = ("L", _PROPERTIES, "s") if operation == "create" else ("id", {}, _PROPERTIES, "s", "L")
    with pytest.raises(ValueError, match="refused"):
        handlers[operation](*arguments)
    assert _dropped() == []


@pytest.mark.local
def test_a_misspelt_property_is_reported(local_aws: LocalAws) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayNme": "Orders"}}
    subscribed = {
        "TopicArn": {"Ref": "Topic"},
        "Protocol": "sqs",
        "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
    }
    subscription = {
        "Type": "AWS::SNS::Subscription",
        "Properties": {**subscribed, "FilterPolcy": {"a": ["b"]}},
    }
    deploy(local_aws, {"Topic": topic, "Queue": {"Type": "AWS::SQS::Queue"}, "Subscription": subscription})
    found = {str(one) for one in local_aws.dropped_properties()}
    assert found >= {"AWS::SNS::Topic.DisplayNme", "AWS::SNS::Subscription.FilterPolcy"}


def test_a_handler_sees_ordinary_dicts() -> None:
    properties = RecordingDict(_PROPERTIES)
    assert properties == _PROPERTIES
    assert isinstance(properties["Encryption"], dict)
    assert json.loads(json.dumps(properties)) == _PROPERTIES
    assert type(copy.deepcopy(properties)) is dict
    assert len(properties) == 3


def test_what_is_stored_and_read_later_is_not_dropped() -> None:
    kept: list[Any] = []

    def handler(properties: Any) -> None:
        assert properties["Encryption"]["Enabled"]
        kept.append(properties["Encryption"])

    assert _dropped_by(handler) == ["Encryption.KeyId", "Name", "Rules"]
    assert kept[0]["KeyId"] == "k"
    assert _dropped() == ["Name", "Rules"]


def test_what_is_not_stored_stays_dropped() -> None:
    assert _dropped_by(lambda p: p["Encryption"]["Enabled"]) == ["Encryption.KeyId", "Name", "Rules"]


def test_a_stored_dict_that_is_read_in_other_letters_is_dropped() -> None:
    """As the emulator read the CORS settings of HTTP APIs, which it stored as they are in the template."""
    kept: list[Any] = []
    assert _dropped_by(lambda p: kept.append((p["Encryption"], p["Rules"]))) == ["Name"]
    stored, rules = kept[0]
    assert stored.get("enabled") is None
    assert rules[1].get("status") is None
    assert _dropped() == ["Encryption.Enabled", "Name", "Rules.Status"]
    assert stored.get("enabled") or stored.get("Enabled")  # code that tries both finds it
    assert _dropped() == ["Name", "Rules.Status"]


def test_bridges_declare_what_is_read_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patching._registry, "recorded", {})
    patching.recorded_only("T", "Name", "Rules.Id", "Rules.Prefix", "Encryption.Enabled")
    patching.recorded_only("T", "Encryption", when=lambda properties: properties["Name"] == "other")
    assert _dropped_by(dict) == ["Encryption.Enabled", "Name", "Rules.Id"]


def test_an_update_replaces_only_the_results_of_changed_properties() -> None:
    def create(logical_id: str, properties: Any, stack: str) -> tuple[str, dict[str, Any]]:
        return "id", {}

    def update(id: str, old: Any, new: Any, stack: str) -> tuple[str, dict[str, Any]]:
        return new["Name"], {}

    handlers = recorded("T", {"create": create, "update": update})
    handlers["create"]("L", _PROPERTIES, "s")
    changed = {**_PROPERTIES, "Name": "m", "New": "n"}
    handlers["update"]("id", _PROPERTIES, changed, "s", "L")
    assert _dropped() == ["Encryption", "New", "Rules"]


_STOCK = {
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        },
    },
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": LAMBDA_MAY_ASSUME},
    },
    "Function": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "MemorySize": 256,
            "ReservedConcurrentExecutions": 3,
        },
    },
}


@pytest.mark.local
def test_the_emulator_drops_the_known_properties(stock_aws: LocalAws) -> None:
    stock_aws.reset()
    _deploy(stock_aws, _STOCK)
    dropped = stock_aws.dropped_properties()
    assert Dropped("s", "Function", "AWS::Lambda::Function", "ReservedConcurrentExecutions") in dropped
    assert Dropped("s", "Table", "AWS::DynamoDB::Table", "PointInTimeRecoverySpecification") in dropped
    names = {str(entry) for entry in dropped}
    assert "AWS::Lambda::Function.ReservedConcurrentExecutions" in names
    for read in (
        "AWS::Lambda::Function.MemorySize",
        "AWS::Lambda::Function.Role",
        "AWS::DynamoDB::Table.KeySchema",
    ):
        assert read not in names


@pytest.mark.local
def test_a_property_that_a_bridge_reads_is_not_reported(local_aws: LocalAws) -> None:
    _deploy(local_aws, _STOCK)
    names = {str(entry) for entry in local_aws.dropped_properties()}
    assert "AWS::Lambda::Function.ReservedConcurrentExecutions" not in names


@pytest.mark.local
def test_a_reset_forgets(stock_aws: LocalAws) -> None:
    stock_aws.reset()
    _deploy(stock_aws, _STOCK)
    assert stock_aws.dropped_properties()
    stock_aws.reset()
    assert stock_aws.dropped_properties() == []


@pytest.mark.local
def test_an_update_that_adds_a_property_is_watched_too(stock_aws: LocalAws) -> None:
    stock_aws.reset()
    table = copy.deepcopy(_STOCK["Table"])
    del table["Properties"]["PointInTimeRecoverySpecification"]  # type: ignore[attr-defined]
    _deploy(stock_aws, {"Table": table})
    assert stock_aws.dropped_properties() == []
    _deploy(stock_aws, {"Table": _STOCK["Table"]}, update=True)
    assert [str(entry) for entry in stock_aws.dropped_properties()] == [
        "AWS::DynamoDB::Table.PointInTimeRecoverySpecification"
    ]


def _deploy(aws: LocalAws, resources: dict[str, Any], *, update: bool = False) -> None:
    cloudformation = aws.client("cloudformation")
    call = cloudformation.update_stack if update else cloudformation.create_stack
    call(StackName="s", TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_IAM"])
    deadline = time.monotonic() + 60
    while (status := cloudformation.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"]).endswith(
        "_IN_PROGRESS"
    ) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == ("UPDATE_COMPLETE" if update else "CREATE_COMPLETE")
