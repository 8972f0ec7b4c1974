"""What a diagram shows of releases by CodeDeploy."""

from __future__ import annotations

from typing import Any

from tasks.release_facts import steps
from tasks.template_facts import TemplateFacts

UPDATE = {
    "DeploymentGroupName": {"Ref": "Group"},
    "BeforeAllowTrafficHook": {"Ref": "Smoke"},
    "AfterAllowTrafficHook": {"Ref": "Look"},
}
FUNCTION = {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Ref": "Role"}}}
RESOURCES: dict[str, dict[str, Any]] = {
    "Smoke": FUNCTION,
    "Look": FUNCTION,
    "Errors": {"Type": "AWS::CloudWatch::Alarm", "Properties": {}},
    "Group": {
        "Type": "AWS::CodeDeploy::DeploymentGroup",
        "Properties": {"AlarmConfiguration": {"Alarms": [{"Name": {"Ref": "Errors"}}]}},
    },
    "Live": {
        "Type": "AWS::Lambda::Alias",
        "Properties": {"FunctionName": {"Ref": "Smoke"}, "FunctionVersion": "1"},
        "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": UPDATE},
    },
}


def test_a_deployment_group_shifts_an_alias_asks_hooks_and_is_stopped_by_alarms() -> None:
    assert list(steps(RESOURCES)) == [
        ("Errors", "stops", "Group"),
        ("Group", "shifts", "Live"),
        ("Group", "before traffic", "Smoke"),
        ("Group", "after traffic", "Look"),
    ]


def test_the_diagram_shows_it() -> None:
    diagram = TemplateFacts({"Resources": RESOURCES}).diagram()
    assert 'Group{{"CodeDeploy: Group"}}' in diagram
    assert "Errors -.->|stops| Group" in diagram
    assert "Group -.->|before traffic| Smoke" in diagram
