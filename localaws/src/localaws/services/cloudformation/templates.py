"""Templates that CloudFormation refuses before there is a stack.

The emulator starts the stack, and its creation fails later or succeeds.

Faithful to: CreateStack, UpdateStack and CreateChangeSet refuse a template without resources, with a logical
id that is not alphanumeric, with a reference to something that it lacks, or with resources that depend on
each other in a circle (`ValidationError`).
Not to: references in outputs and conditions.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resources-section-structure.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/troubleshooting.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import engine

from localaws.patching import around


@around(engine, "_validate_template_statics")
def _validate_template_statics(stock: Callable[[dict[str, Any]], None], template: dict[str, Any]) -> None:
    resources = template.get("Resources") or {}
    if not resources:
        raise ValueError("Template format error: At least one Resources member must be defined.")
    for name in resources:
        if not re.fullmatch("[A-Za-z0-9]+", name):
            raise ValueError(f"Template format error: Resource name {name} is non alphanumeric.")
    if missing := sorted(_missing(resources, template.get("Parameters") or {})):
        about = "Unresolved resource dependencies"
        names = ", ".join(missing)
        raise ValueError(f"Template format error: {about} [{names}] in the Resources block of the template")
    try:
        engine._topological_sort(resources, {})
    except ValueError as error:
        names = str(error).rpartition(": ")[2]
        raise ValueError(f"Circular dependency between resources: [{names}]") from None
    stock(template)


def _missing(resources: dict[str, Any], parameters: dict[str, Any]) -> set[str]:
    """The names that resources refer to and that the template lacks."""
    named: set[str] = set()
    for resource in resources.values():
        after = resource.get("DependsOn") or []
        named.update([after] if isinstance(after, str) else after)
        named.update(name for name, _ in engine._intrinsic_references(resource.get("Properties") or {}))
    return {name for name in named - {*resources, *parameters} if not name.startswith("AWS::")}
