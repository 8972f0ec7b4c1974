"""AWS::Events::Archive: archives in templates, which the emulator has in its API only.

Faithful to: an archive is made, changed and deleted as CreateArchive, UpdateArchive and DeleteArchive do; a
new name or source is a replacement; `Ref` is the name, and Arn and ArchiveName are attributes.
Not to: RetentionDays is recorded, and no event is ever dropped.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-archive.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

_TYPE = "AWS::Events::Archive"
Properties = Mapping[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Register the type."""
    provisioners._RESOURCE_HANDLERS[_TYPE] = {
        "create": _create,
        "update": _update,
        "update_with_logical_id": True,
        "delete": _delete,
    }


def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _name(logical_id, properties, stack)
    _call(eventbridge._create_archive, _settings(properties) | {"ArchiveName": name})
    return name, {"Arn": eventbridge._archives[name]["ArchiveArn"], "ArchiveName": name}


def _update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    name = _name(logical_id, new, stack)
    if name == physical_id and new.get("SourceArn") == old.get("SourceArn"):
        _call(eventbridge._update_archive, _settings(new) | {"ArchiveName": name})
        return name, {"Arn": eventbridge._archives[name]["ArchiveArn"], "ArchiveName": name}
    # CloudFormation deletes the old one at the end. A given name is taken until then, and fails, as in AWS.
    created: Created = provisioners._seeded_create(_create, logical_id, new, stack)
    return created


def _delete(physical_id: str, _properties: Properties) -> None:
    if physical_id in eventbridge._archives:
        _call(eventbridge._delete_archive, {"ArchiveName": physical_id})


def _settings(properties: Properties) -> dict[str, Any]:
    """What the API calls the properties; what a template leaves out is empty again."""
    pattern = properties.get("EventPattern")
    return {
        "EventSourceArn": properties.get("SourceArn", ""),
        "Description": properties.get("Description", ""),
        "EventPattern": json.dumps(pattern) if pattern else "",
        "RetentionDays": int(properties.get("RetentionDays", 0)),
        "KmsKeyIdentifier": properties.get("KmsKeyIdentifier", ""),
    }


def _name(logical_id: str, properties: Properties, stack: str) -> str:
    given = properties.get("ArchiveName")
    return str(given or provisioners._physical_name(stack, logical_id, max_len=48))


def _call(action: Any, request: dict[str, Any]) -> None:
    status, _, body = action(request)
    if status >= 400:
        raise ValueError(f"{_TYPE}: {json.loads(body)['message']}")
