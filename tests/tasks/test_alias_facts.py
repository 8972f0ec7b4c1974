"""What a diagram shows of aliases."""

from __future__ import annotations

from typing import Any

from tasks.alias_facts import targets
from tasks.template_facts import TemplateFacts

NEWEST = {"Fn::GetAtt": ["Version", "Version"]}


def alias(version: object, **properties: object) -> dict[str, Any]:
    """An alias of the function."""
    pointed = {"FunctionName": {"Ref": "Function"}, "FunctionVersion": version}
    return {"Type": "AWS::Lambda::Alias", "Properties": pointed | properties}


WEIGHTS = {"AdditionalVersionWeights": [{"FunctionVersion": "7", "FunctionWeight": 0.1}]}
RESOURCES: dict[str, dict[str, Any]] = {
    "Function": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Ref": "Role"}}},
    "Dev": alias(NEWEST),
    "Prod": alias("6", RoutingConfig=WEIGHTS),
    "Imported": alias("1", FunctionName="orders"),
}


def test_an_alias_leads_to_its_function_by_its_versions() -> None:
    assert list(targets(RESOURCES)) == [
        ("Dev", "newest version", "Function"),
        ("Prod", "version 6, version 7: 0.1", "Function"),
    ]


def test_the_diagram_shows_it() -> None:
    diagram = TemplateFacts({"Resources": RESOURCES}).diagram()
    assert 'Prod>"alias: Prod"]' in diagram
    assert "Prod -->|version 6, version 7: 0.1| Function" in diagram
