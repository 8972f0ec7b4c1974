"""Deployments of the environments' stack, each with one change, and the way back to the first one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scenarios.delivery.environments.aliases import Aliases
from scenarios.framework import DeployedStack
from scenarios.support.stack_updates import StackUpdates, Template


class Deployments:
    """Deploys the stack again with one change, and restores it.

    Args:
        stack: The deployed stack, on the embedded AWS.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.aliases = Aliases(stack)
        self._updates = StackUpdates(stack)
        self._lambda = stack.client("lambda")
        self._original = self._updates.template()
        resources = self._original["Resources"].items()
        [self._function_id] = [key for key, one in resources if one["Type"] == "AWS::Lambda::Function"]
        self._alias_ids = {
            one["Properties"]["Name"]: key for key, one in resources if one["Type"] == "AWS::Lambda::Alias"
        }
        self._unused_before = self.aliases.unused_versions()

    def new_tariff(self, name: str, cents_per_kg: int, **prod: Any) -> str:
        """Deploy code with another tariff and return the number of its version.

        Args:
            name: Name of the tariff.
            cents_per_kg: Its price of a kilogram.
            **prod: Properties of the alias prod to change as well.

        Raises:
            UpdateRolledBack: CloudFormation rolled the update back.
        """
        template = self._updates.template()
        tariff = json.dumps({"name": name, "base_cents": 390, "cents_per_kg": cents_per_kg})
        self._updates.change_code(template, self._function_id, {"environments/tariff.json": tariff})
        self._alias(template, "prod").update(prod)
        self._updates.update(template)
        return max(self.aliases.versions(), key=int)

    def point(self, name: str, version: str, weights: Mapping[str, str] | None = None) -> None:
        """Deploy another value for one alias.

        Args:
            name: The alias.
            version: Its version.
            weights: The weight of each additional version.

        Raises:
            UpdateRolledBack: CloudFormation rolled the update back.
        """
        template = self._updates.template()
        properties = self._alias(template, name)
        properties["FunctionVersion"] = version
        properties.pop("RoutingConfig", None)
        if weights:
            properties["RoutingConfig"] = {
                "AdditionalVersionWeights": [
                    {"FunctionVersion": other, "FunctionWeight": float(weight)}
                    for other, weight in weights.items()
                ]
            }
        self._updates.update(template)

    def _alias(self, template: Template, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = template["Resources"][self._alias_ids[name]]["Properties"]
        return properties

    def close(self) -> None:
        """Deploy the original template and delete the versions that no alias points at any more."""
        if self._updates.template() != self._original:
            self._updates.update(self._original)
        for number in self.aliases.unused_versions() - self._unused_before:
            self._lambda.delete_function(FunctionName=self.aliases.function, Qualifier=number)
