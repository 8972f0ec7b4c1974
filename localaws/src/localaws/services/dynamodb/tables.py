"""Table properties that the emulator's CloudFormation handler drops.

Faithful to: `AWS::DynamoDB::Table` TimeToLiveSpecification, PointInTimeRecoverySpecification,
SSESpecification, TableClass and ResourcePolicy are applied with the calls that CloudFormation makes, so that
DynamoDB's Describe and Get calls return them, and removing them from the template resets them. So are those
of the replica of an `AWS::DynamoDB::GlobalTable` in the Region of the stack, with its deletion protection and
tags; an update keeps the items. Deleting the stack of a table with deletion protection fails. The label of a
stream has no time zone. A stream whose view type changes is replaced by another.
Not to: recovery and encryption, which are only recorded; the resource policy, which is returned and not
enforced; replicas in other Regions.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-globaltable.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamDescription.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, resource


@resource("AWS::DynamoDB::Table").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name, attributes = _with_label(*stock(logical_id, properties, stack))
    _apply(name, {}, properties)
    return name, attributes


@resource("AWS::DynamoDB::GlobalTable").create
def _create_global(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name, attributes = _with_label(*stock(logical_id, properties, stack))
    _apply_replica(name, {}, properties)
    return name, attributes


@resource("AWS::DynamoDB::GlobalTable").update
def _update_global(
    _stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    # The emulator's handler does not know the logical id: it would make an empty table of another name.
    _replace_stream(physical_id, old, new)
    name, attributes = provisioners._ddb_update(physical_id, old, new, stack, logical_id)
    _apply_replica(name, old if name == physical_id else {}, new)
    return name, attributes


@resource("AWS::DynamoDB::Table").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _replace_stream(physical_id, old, new)
    name, attributes = stock(physical_id, old, new, stack, logical_id)
    _apply(name, old if name == physical_id else {}, new)
    return name, attributes


@resource("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable").delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    if (dynamodb._tables.get(physical_id) or {}).get("DeletionProtectionEnabled"):
        raise ValueError(
            f"Table {physical_id} has deletion protection and was not deleted. "
            "Deploy it with DeletionProtectionEnabled set to false first."
        )
    stock(physical_id, properties)
    # A new table of the same name starts with the defaults.
    dynamodb._ttl_settings.pop(physical_id, None)
    dynamodb._pitr_settings.pop(physical_id, None)


def _with_label(name: str, attributes: dict[str, Any]) -> Created:
    """Give the stream of a new table one label, without the time zone that the emulator's handler writes."""
    table = dynamodb._tables[name]
    if table.get("LatestStreamArn"):
        table["LatestStreamLabel"] = dynamodb._stream_label()
        table["LatestStreamArn"] = f"{table['TableArn']}/stream/{table['LatestStreamLabel']}"
        attributes = attributes | {"StreamArn": table["LatestStreamArn"]}
    return name, attributes


def _replace_stream(name: str, old: Properties, new: Properties) -> None:
    """Disable a stream whose view type changes: what is enabled afterwards is another one."""
    before, after = ((one.get("StreamSpecification") or {}).get("StreamViewType") for one in (old, new))
    if before and after and before != after:
        dynamodb._update_table({"TableName": name, "StreamSpecification": {"StreamEnabled": False}})


def _apply_replica(name: str, old: Properties, new: Properties) -> None:
    """Apply the properties of the replica of a global table in this Region."""
    before, after = _of_replica(old), _of_replica(new)
    _apply(name, before, after)
    protected = {"DeletionProtectionEnabled": _enabled(after, "DeletionProtectionEnabled")}
    _checked("DeletionProtectionEnabled", dynamodb._update_table({"TableName": name, **protected}))
    if before.get("Tags") != after.get("Tags"):
        dynamodb._tags[dynamodb._tables[name]["TableArn"]] = [dict(tag) for tag in after.get("Tags") or ()]


def _of_replica(properties: Properties) -> dict[str, Any]:
    """The properties of a global table in this Region, as those of a table are written."""
    replicas = properties.get("Replicas") or []
    here: Properties = next((one for one in replicas if one.get("Region") == get_region()), {})
    table = {name: here.get(name) for name in _OF_REPLICA}
    table["TimeToLiveSpecification"] = properties.get("TimeToLiveSpecification")
    encryption = properties.get("SSESpecification")
    table["SSESpecification"] = encryption and {**encryption, **(here.get("SSESpecification") or {})}
    return table


_OF_REPLICA = (
    "PointInTimeRecoverySpecification",
    "TableClass",
    "ResourcePolicy",
    "DeletionProtectionEnabled",
    "Tags",
)


def _apply(table: str, old: Properties, new: Properties) -> None:
    """Make the calls for the properties that differ between the templates."""
    for name, call, request in _CALLS:
        if new.get(name) != old.get(name):
            body = request(new.get(name), old.get(name))
            if body is not None:
                _checked(name, call({"TableName": table, **body}))
    if new.get("ResourcePolicy") != old.get("ResourcePolicy"):
        _apply_policy(dynamodb._tables[table]["TableArn"], new.get("ResourcePolicy"))


def _time_to_live(new: Properties | None, old: Properties | None) -> dict[str, Any] | None:
    # Disabling names the attribute too; without an earlier setting there is nothing to disable.
    attribute = (new or old or {}).get("AttributeName")
    if not attribute:
        return None
    return {"TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": _enabled(new, "Enabled")}}


def _recovery(new: Properties | None, _old: Properties | None) -> dict[str, Any]:
    enabled = _enabled(new, "PointInTimeRecoveryEnabled")
    return {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled}}


def _encryption(new: Properties | None, _old: Properties | None) -> dict[str, Any]:
    # SSEEnabled in the template is Enabled in the API.
    specification = {name: value for name, value in (new or {}).items() if name != "SSEEnabled"}
    return {"SSESpecification": {**specification, "Enabled": _enabled(new, "SSEEnabled")}}


def _table_class(new: str | None, _old: str | None) -> dict[str, Any]:
    return {"TableClass": new or "STANDARD"}


_CALLS: tuple[tuple[str, Callable[[dict[str, Any]], Any], Callable[..., dict[str, Any] | None]], ...] = (
    ("TimeToLiveSpecification", dynamodb._update_ttl, _time_to_live),
    ("PointInTimeRecoverySpecification", dynamodb._update_continuous_backups, _recovery),
    ("SSESpecification", dynamodb._update_table, _encryption),
    ("TableClass", dynamodb._update_table, _table_class),
)


def _apply_policy(arn: str, policy: Properties | None) -> None:
    if policy is None:
        _checked("ResourcePolicy", dynamodb._delete_resource_policy({"ResourceArn": arn}))
        return
    document = json.dumps(policy["PolicyDocument"])
    _checked("ResourcePolicy", dynamodb._put_resource_policy({"ResourceArn": arn, "Policy": document}))


def _enabled(specification: Properties | None, name: str) -> bool:
    return str((specification or {}).get(name, False)).lower() == "true"


def _checked(name: str, response: tuple[int, Any, Any]) -> None:
    if response[0] >= 400:
        raise ValueError(f"AWS::DynamoDB::Table {name} refused: {response[2]!r}")
