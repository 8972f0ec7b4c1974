"""How CodeDeploy releases to the aliases of a template: what it shifts, whom it asks, what stops it."""

from collections.abc import Iterator, Mapping
from typing import Any

_HOOKS = {"BeforeAllowTrafficHook": "before traffic", "AfterAllowTrafficHook": "after traffic"}


def steps(resources: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Logical id of what acts, what it does, and logical id of what it does it to."""
    for logical_id, resource in resources.items():
        update = resource.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
        if update is not None:
            group = update["DeploymentGroupName"]["Ref"]
            yield group, "shifts", logical_id
            for hook, words in _HOOKS.items():
                if hook in update:
                    yield group, words, update[hook]["Ref"]
        if resource["Type"] == "AWS::CodeDeploy::DeploymentGroup":
            for alarm in resource["Properties"].get("AlarmConfiguration", {}).get("Alarms", []):
                yield alarm["Name"]["Ref"], "stops", logical_id
