"""AWS::Events::Archive: archives in templates. The emulator has them only in its API.

Faithful to: an archive is created, changed and deleted as by CreateArchive, UpdateArchive and DeleteArchive.
A new name or source replaces it. `Ref` is the name; Arn and ArchiveName are attributes.
Not to: RetentionDays, which is only recorded: events are never removed.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-archive.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_resource

_TYPE = "AWS::Events::Archive"
_archive = new_resource(_TYPE)


@_archive.create
def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _name(logical_id, properties, stack)
    _call(eventbridge._create_archive, _settings(properties) | {"ArchiveName": name})
    return name, {"Arn": eventbridge._archives[name]["ArchiveArn"], "ArchiveName": name}


@_archive.update
def _update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    name = _name(logical_id, new, stack)
    if name == physical_id and new.get("SourceArn") == old.get("SourceArn"):
        _call(eventbridge._update_archive, _settings(new) | {"ArchiveName": name})
        return name, {"Arn": eventbridge._archives[name]["ArchiveArn"], "ArchiveName": name}
    # CloudFormation deletes the old archive at the end, so a name in the template is still in use, as in AWS.
    created: Created = provisioners._seeded_create(_create, logical_id, new, stack)
    return created


@_archive.delete
def _delete(physical_id: str, _properties: Properties) -> None:
    if physical_id in eventbridge._archives:
        _call(eventbridge._delete_archive, {"ArchiveName": physical_id})


def _settings(properties: Properties) -> dict[str, Any]:
    """The properties as parameters of the API; what a template omits is reset."""
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
