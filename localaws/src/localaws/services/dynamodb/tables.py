"""DynamoDB: what a template says of a table reaches the table.

Faithful to: `AWS::DynamoDB::Table` TimeToLiveSpecification, PointInTimeRecoverySpecification,
SSESpecification, TableClass and ResourcePolicy are applied by the calls that CloudFormation itself makes,
so that DynamoDB's own Describe and Get calls return them, and a template without them takes them away.
A table with deletion protection is not deleted with its stack: the deletion fails.
Not to: recovery (a record only), encryption (a record only), the policy (returned, not enforced).
Items past their time are deleted by the emulator within a minute, sooner than AWS promises.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

Properties = Mapping[str, Any]


def install() -> None:
    """Extend the handlers of `AWS::DynamoDB::Table`."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    handler["create"] = _creating(handler["create"])
    handler["update"] = _updating(handler["update"])
    handler["delete"] = _deleting(handler["delete"])


def _creating(create: Callable[..., tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    def create_and_apply(logical_id: str, properties: Properties, stack: str) -> Any:
        name, attributes = create(logical_id, properties, stack)
        _apply(name, {}, properties)
        return name, attributes

    return create_and_apply


def _updating(update: Callable[..., tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    def update_and_apply(physical_id: str, old: Properties, new: Properties, *args: Any) -> Any:
        name, attributes = update(physical_id, old, new, *args)
        _apply(name, old if name == physical_id else {}, new)
        return name, attributes

    return update_and_apply


def _deleting(delete: Callable[..., None]) -> Callable[..., None]:
    def delete_unless_protected(physical_id: str, properties: Properties) -> None:
        if (dynamodb._tables.get(physical_id) or {}).get("DeletionProtectionEnabled"):
            raise ValueError(
                f"Table {physical_id} is protected against deletion and was not deleted. "
                "Deploy it with DeletionProtectionEnabled off first."
            )
        delete(physical_id, properties)
        # The next table of that name starts without them.
        dynamodb._ttl_settings.pop(physical_id, None)
        dynamodb._pitr_settings.pop(physical_id, None)

    return delete_unless_protected


def _apply(table: str, old: Properties, new: Properties) -> None:
    """Make the calls for those properties that the new template changes, sets or drops."""
    for name, call, request in _CALLS:
        if new.get(name) != old.get(name):
            body = request(new.get(name), old.get(name))
            if body is not None:
                _checked(name, call({"TableName": table, **body}))
    if new.get("ResourcePolicy") != old.get("ResourcePolicy"):
        _apply_policy(dynamodb._tables[table]["TableArn"], new.get("ResourcePolicy"))


def _time_to_live(new: Properties | None, old: Properties | None) -> dict[str, Any] | None:
    # Switching off names the attribute too; without an earlier setting there is nothing to switch off.
    attribute = (new or old or {}).get("AttributeName")
    if not attribute:
        return None
    return {"TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": _enabled(new, "Enabled")}}


def _recovery(new: Properties | None, _old: Properties | None) -> dict[str, Any]:
    enabled = _enabled(new, "PointInTimeRecoveryEnabled")
    return {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled}}


def _encryption(new: Properties | None, _old: Properties | None) -> dict[str, Any]:
    # The template calls it SSEEnabled, the API Enabled.
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
