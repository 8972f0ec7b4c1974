"""The CloudFormation types of RDS Proxy.

Faithful to: `AWS::RDS::DBProxy`, `DBProxyTargetGroup` and `DBProxyEndpoint`, with `Ref`, attributes, tags,
update and replacement.
Not to: a deployment does not wait for a target to become available. `MaxIdleConnectionsPercent` and
`SessionPinningFilters` (which PostgreSQL does not have) are stored and have no effect.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbproxy.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbproxytargetgroup.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbproxyendpoint.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import rds
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_resource

_proxy = new_resource(
    "AWS::RDS::DBProxy",
    replaced_by=(
        *("DBProxyName", "EngineFamily", "VpcSubnetIds"),
        *("EndpointNetworkType", "TargetConnectionNetworkType"),
    ),
    stack_tags=True,
)
_target_group = new_resource("AWS::RDS::DBProxyTargetGroup", replaced_by=("DBProxyName", "TargetGroupName"))
_endpoint = new_resource(
    "AWS::RDS::DBProxyEndpoint",
    replaced_by=(
        *("DBProxyEndpointName", "DBProxyName", "TargetRole", "VpcSubnetIds", "EndpointNetworkType"),
    ),
    stack_tags=True,
)


def _call(action: Callable[..., Any], parameters: Properties, type_: str, verb: str) -> None:
    given = {name: value for name, value in parameters.items() if value not in (None, [], "")}
    provisioners._rds_call(action, provisioners._ec_query(given), type_, verb)


def _tag(type_: str, arn: str, new: Properties, old: Properties) -> None:
    provisioners._rds_sync_tags(arn, old, new, type_)


@_proxy.create
def _create_proxy(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("DBProxyName") or provisioners._physical_name(stack, logical_id, max_len=63)
    request = {**_proxy_request(properties), "DBProxyName": name}
    request["EngineFamily"] = properties.get("EngineFamily")
    for given in (
        "VpcSubnetIds",
        "VpcSecurityGroupIds",
        "EndpointNetworkType",
        "TargetConnectionNetworkType",
    ):
        request[given] = properties.get(given)
    _call(rds._create_db_proxy, request, "AWS::RDS::DBProxy", "create")
    _tag("AWS::RDS::DBProxy", rds._db_proxies[name]["DBProxyArn"], properties, {})
    return name, _proxy_attributes(name)


def _proxy_request(properties: Properties) -> Properties:
    """The parameters that can also be modified."""
    names = ("Auth", "DebugLogging", "DefaultAuthScheme", "IdleClientTimeout", "RequireTLS", "RoleArn")
    return {name: properties.get(name) for name in names}


def _proxy_attributes(name: str) -> dict[str, Any]:
    record = rds._db_proxies[name]
    return {name: record[name] for name in ("DBProxyArn", "Endpoint", "VpcId")}


@_proxy.update
def _update_proxy(physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
    request = {"RequireTLS": False, "DebugLogging": False, **_proxy_request(new), "DBProxyName": physical_id}
    request["SecurityGroups"] = new.get("VpcSecurityGroupIds")
    _call(rds._modify_db_proxy, request, "AWS::RDS::DBProxy", "update")
    _tag("AWS::RDS::DBProxy", rds._db_proxies[physical_id]["DBProxyArn"], new, old)
    return physical_id, _proxy_attributes(physical_id)


@_proxy.delete
def _delete_proxy(physical_id: str, _properties: Properties) -> None:
    if physical_id in rds._db_proxies:
        _call(rds._delete_db_proxy, {"DBProxyName": physical_id}, "AWS::RDS::DBProxy", "delete")


@_target_group.create
def _create_target_group(_logical_id: str, properties: Properties, _stack: str) -> Created:
    return _set_target_group(properties, {})


@_target_group.update
def _update_target_group(_physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
    return _set_target_group(new, old)


def _set_target_group(new: Properties, old: Properties) -> Created:
    """Set the pool configuration, and replace targets that differ."""
    type_ = "AWS::RDS::DBProxyTargetGroup"
    group = {"DBProxyName": new.get("DBProxyName"), "TargetGroupName": new.get("TargetGroupName", "default")}
    pool = {
        f"ConnectionPoolConfig.{name}": value
        for name, value in (new.get("ConnectionPoolConfigurationInfo") or {}).items()
    }
    _call(rds._modify_db_proxy_target_group, {**group, **pool}, type_, "update")
    kinds = ("DBClusterIdentifiers", "DBInstanceIdentifiers")
    given, before = ({kind: each.get(kind) or [] for kind in kinds} for each in (new, old))
    if given != before:
        if any(before.values()):
            _call(rds._deregister_db_proxy_targets, {**group, **before}, type_, "update")
        if any(given.values()):
            _call(rds._register_db_proxy_targets, {**group, **given}, type_, "create")
    arn = rds._get_db_proxy(group["DBProxyName"])["TargetGroup"]["TargetGroupArn"]
    return arn, {"TargetGroupArn": arn}


@_target_group.delete
def _delete_target_group(_physical_id: str, properties: Properties) -> None:
    """Deregister the targets; the group itself is deleted with its proxy."""
    record = rds._get_db_proxy(properties.get("DBProxyName", ""))
    if record:
        record["Targets"] = []


@_endpoint.create
def _create_endpoint(_logical_id: str, properties: Properties, _stack: str) -> Created:
    name = properties["DBProxyEndpointName"]
    names = ("DBProxyEndpointName", "DBProxyName", "TargetRole", "VpcSubnetIds", "VpcSecurityGroupIds")
    request = {each: properties.get(each) for each in (*names, "EndpointNetworkType")}
    _call(rds._create_db_proxy_endpoint, request, "AWS::RDS::DBProxyEndpoint", "create")
    _tag("AWS::RDS::DBProxyEndpoint", rds._db_proxy_endpoints[name]["DBProxyEndpointArn"], properties, {})
    return name, _endpoint_attributes(name)


def _endpoint_attributes(name: str) -> dict[str, Any]:
    record = rds._db_proxy_endpoints[name]
    names = ("DBProxyEndpointArn", "Endpoint", "IsDefault", "TargetRole", "VpcId")
    return {each: record[each] for each in names}


@_endpoint.update
def _update_endpoint(physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
    request = {"DBProxyEndpointName": physical_id, "VpcSecurityGroupIds": new.get("VpcSecurityGroupIds")}
    _call(rds._modify_db_proxy_endpoint, request, "AWS::RDS::DBProxyEndpoint", "update")
    arn = rds._db_proxy_endpoints[physical_id]["DBProxyEndpointArn"]
    _tag("AWS::RDS::DBProxyEndpoint", arn, new, old)
    return physical_id, _endpoint_attributes(physical_id)


@_endpoint.delete
def _delete_endpoint(physical_id: str, _properties: Properties) -> None:
    if physical_id in rds._db_proxy_endpoints:
        request = {"DBProxyEndpointName": physical_id}
        _call(rds._delete_db_proxy_endpoint, request, "AWS::RDS::DBProxyEndpoint", "delete")
