"""Load balancers: their names, subnets, security groups and attributes, and when they may be deleted.

The emulator accepts any name, subnet, security group and attribute, ignores SubnetMappings, and deletes a
load balancer that is protected.

Faithful to: through the API and in templates,
- a name has at most 32 letters, digits and hyphens, and does not start with `internal-`; a load balancer is
  created again only with the same settings;
- an application load balancer has subnets in two Availability Zones at least, one in each, and security
  groups of their VPC;
- attributes exist for the type of load balancer and have a value that is allowed;
- a load balancer with deletion protection is not deleted;
- the DNS name of an internal one starts with `internal-`.
Not to: quotas; whether a subnet has enough addresses or a route to the internet; whether a bucket for logs
exists; Network and Gateway Load Balancers, of which only names, subnets and attributes are checked.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteLoadBalancer.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import alb, ec2
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, resource
from localaws.services.elbv2.refusals import InvalidRequestError, Response, answered, check_choice, nested

_CONFIGURATION = "InvalidConfigurationRequest"
_SETTINGS = ("Name", "Scheme", "Type", "IpAddressType")
_CHOICES = {
    "Scheme": ("internet-facing", "internal"),
    "Type": ("application", "network", "gateway"),
    "IpAddressType": ("ipv4", "dualstack", "dualstack-without-public-ipv4"),
}

# What the values of an attribute are: a range, choices, or anything (None).
_BOOLEAN = ("true", "false")
_OF_ALL: dict[str, Any] = {
    "deletion_protection.enabled": _BOOLEAN,
    "load_balancing.cross_zone.enabled": _BOOLEAN,
}
_OF_TWO: dict[str, Any] = {
    "access_logs.s3.enabled": _BOOLEAN,
    "access_logs.s3.bucket": None,
    "access_logs.s3.prefix": None,
    "ipv6.deny_all_igw_traffic": _BOOLEAN,
    "zonal_shift.config.enabled": _BOOLEAN,
}
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "application": {
        **_OF_ALL,
        **_OF_TWO,
        "client_keep_alive.seconds": range(60, 604_801),
        **{f"{kind}_logs.s3.enabled": _BOOLEAN for kind in ("connection", "health_check")},
        **{f"{kind}_logs.s3.bucket": None for kind in ("connection", "health_check")},
        **{f"{kind}_logs.s3.prefix": None for kind in ("connection", "health_check")},
        "idle_timeout.timeout_seconds": range(1, 4001),
        "routing.http.desync_mitigation_mode": ("defensive", "monitor", "strictest"),
        "routing.http.drop_invalid_header_fields.enabled": _BOOLEAN,
        "routing.http.preserve_host_header.enabled": _BOOLEAN,
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": _BOOLEAN,
        "routing.http.xff_client_port.enabled": _BOOLEAN,
        "routing.http.xff_header_processing.mode": ("append", "preserve", "remove"),
        "routing.http2.enabled": _BOOLEAN,
        "waf.fail_open.enabled": _BOOLEAN,
    },
    "network": {
        **_OF_ALL,
        **_OF_TWO,
        "dns_record.client_routing_policy": None,
        "secondary_ips.auto_assigned.per_subnet": range(8),
    },
    "gateway": _OF_ALL,
}


# --- Checks


def _check_name(name: str) -> None:
    reason = ""
    if len(name) > 32:
        reason = "cannot be longer than '32' characters"
    elif not re.fullmatch(r"[A-Za-z0-9-]+", name):
        reason = "can only contain characters that are alphanumeric characters and hyphens(-)"
    elif name.startswith("internal-"):
        reason = "cannot begin with 'internal-'"
    elif name.startswith("-"):
        reason = "cannot begin with a hyphen(-)"
    elif name.endswith("-"):
        reason = "cannot end with a hyphen(-)"
    if reason:
        raise InvalidRequestError(f"The load balancer name '{name}' {reason}")


def _check_network(kind: str, subnets: Sequence[str], groups: Sequence[str]) -> str:
    """Check subnets and security groups; returns their VPC."""
    ec2._ensure_defaults_initialized()
    for one in subnets:
        if not re.fullmatch(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", one):
            raise InvalidRequestError(f"The subnet ID '{one}' is not valid", "InvalidSubnet")
        if one not in ec2._subnets:
            raise InvalidRequestError(f"The subnet ID '{one}' does not exist", "SubnetNotFound")
    zones = Counter(ec2._subnets[one]["AvailabilityZone"] for one in subnets)
    if kind == "application" and len(subnets) < 2:
        raise InvalidRequestError(
            "At least two subnets in two different Availability Zones must be specified"
        )
    if not subnets:
        raise InvalidRequestError("At least one subnet must be specified")
    if any(count > 1 for count in zones.values()):
        text = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise InvalidRequestError(text, _CONFIGURATION)
    networks = {ec2._subnets[one]["VpcId"] for one in subnets}
    if len(networks) > 1:
        raise InvalidRequestError("All subnets must belong to the same VPC", _CONFIGURATION)
    (network,) = networks
    if any(ec2._security_groups.get(one, {}).get("VpcId") != network for one in groups):
        raise InvalidRequestError("One or more security groups are invalid", _CONFIGURATION)
    return str(network)


def _check_attributes(kind: str, attributes: Sequence[Properties]) -> None:
    known = _ATTRIBUTES.get(kind, {})
    for key, count in Counter(one.get("Key") for one in attributes).items():
        if key not in known:
            raise InvalidRequestError(f"Load balancer attribute key '{key}' is not recognized")
        if count > 1:
            raise InvalidRequestError(f"Attribute key '{key}' has been specified more than once")
    for one in attributes:
        if reason := _of_value(one["Key"], str(one.get("Value", "")).lower(), known[one["Key"]]):
            raise InvalidRequestError(reason, _CONFIGURATION)
    given = {one["Key"]: one.get("Value") for one in attributes}
    if kind == "application" and given.get("load_balancing.cross_zone.enabled") == "false":
        text = "must always be 'true' for an Application Load Balancer"
        raise InvalidRequestError(f"The value for 'load_balancing.cross_zone.enabled' {text}", _CONFIGURATION)


def _of_value(key: str, value: str, allowed: Any) -> str | None:
    """Why an attribute cannot have a value; None if it can."""
    if allowed is None:
        return None
    if isinstance(allowed, range):
        return _of_number(key, value, allowed)
    if value in allowed:
        return None
    if allowed is _BOOLEAN:
        return f"The value of '{key}' must be 'true' or 'false', but was '{value}'"
    return f"'{value}' must be one of [{', '.join(allowed)}]"


def _of_number(key: str, value: str, allowed: range) -> str | None:
    low, high = allowed.start, allowed.stop - 1
    number = int(value) if re.fullmatch(r"-?\d{1,9}", value, re.ASCII) else None
    if number in allowed:
        return None
    if number is None or key != "idle_timeout.timeout_seconds":
        return f"The value of '{key}' must be an integer between {low} and {high}"
    limit = f"less than {low}" if number < low else f"greater than {high}"
    return f"The value of '{key}' cannot be {limit} characters"  # AWS counts seconds as characters


def _subnets_of(properties: Properties) -> list[str]:
    mapped = [str(one.get("SubnetId", "")) for one in properties.get("SubnetMappings") or []]
    return mapped or [str(one) for one in provisioners._elbv2_as_list(properties.get("Subnets"))]


def _check(properties: Properties) -> str:
    """Check the settings of a load balancer; returns its VPC."""
    if properties.get("Name"):
        _check_name(str(properties["Name"]))
    for setting, allowed in _CHOICES.items():
        if properties.get(setting):
            check_choice(setting[0].lower() + setting[1:], properties[setting], allowed)
    kind = str(properties.get("Type") or "application")
    groups = [str(one) for one in provisioners._elbv2_as_list(properties.get("SecurityGroups"))]
    network = _check_network(kind, _subnets_of(properties), groups)
    _check_attributes(kind, properties.get("LoadBalancerAttributes") or [])
    return network


def _check_protection(arn: str) -> None:
    if alb._lb_attr(arn, "deletion_protection.enabled", "false") == "true":
        text = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise InvalidRequestError(text, "OperationNotPermitted")


def _named(name: str) -> dict[str, Any] | None:
    found = (balancer for balancer in alb._lbs.values() if balancer["LoadBalancerName"] == name)
    return next(found, None)


def _duplicate(name: str) -> InvalidRequestError:
    text = f"A load balancer with the same name '{name}' exists, but with different settings"
    return InvalidRequestError(text, "DuplicateLoadBalancerName")


def _mark_internal(balancer: dict[str, Any]) -> bool:
    """Give an internal load balancer the name that says so; returns whether it is one."""
    internal = balancer["Scheme"] == "internal"
    if internal and not balancer["DNSName"].startswith("internal-"):
        balancer["DNSName"] = f"internal-{balancer['DNSName']}"
    return bool(internal)


# --- Templates


_BALANCER = resource("AWS::ElasticLoadBalancingV2::LoadBalancer")


@_BALANCER.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    network = _check(properties)
    name = properties.get("Name")
    if name and _named(str(name)):
        raise _duplicate(str(name))
    arn, attributes = stock(logical_id, {**properties, "Subnets": _subnets_of(properties)}, stack)
    alb._lbs[arn]["VpcId"] = network
    _mark_internal(alb._lbs[arn])
    return arn, {**attributes, "DNSName": alb._lbs[arn]["DNSName"]}


@_BALANCER.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    network = _check(new)
    arn, attributes = stock(physical_id, old, {**new, "Subnets": _subnets_of(new)}, stack, logical_id)
    alb._lbs[arn]["VpcId"] = network
    return arn, attributes


@_BALANCER.delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    _check_protection(physical_id)
    stock(physical_id, properties)


# --- The API


@action(alb, "CreateLoadBalancer")
@answered
def _create_balancer(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    given: Properties = {name: alb._p(params, name) for name in _SETTINGS if name in params}
    given |= {name: nested(params, name) for name in ("Subnets", "SubnetMappings", "SecurityGroups")}
    network, subnets = _check(given), _subnets_of(given)
    if existing := _named(str(given.get("Name"))):
        defaults = {"Scheme": "internet-facing", "Type": "application", "IpAddressType": "ipv4"}
        wanted = {**defaults, **{name: value for name, value in given.items() if name in defaults}}
        wanted |= {"Subnets": subnets, "SecurityGroups": given["SecurityGroups"]}
        if any(existing[name] != value for name, value in wanted.items()):
            raise _duplicate(given["Name"])
        found: Response = alb._xml(
            200, "CreateLoadBalancer", f"<LoadBalancers>{alb._lb_xml(existing)}</LoadBalancers>"
        )
        return found
    members = {f"Subnets.member.{number}": [one] for number, one in enumerate(subnets, 1)}
    response = stock({**params, **members, "VpcId": [network]})
    made = _named(alb._p(params, "Name"))
    if made is None or not _mark_internal(made):
        return response
    described: Response = alb._xml(
        200, "CreateLoadBalancer", f"<LoadBalancers>{alb._lb_xml(made)}</LoadBalancers>"
    )
    return described


@action(alb, "DeleteLoadBalancer")
@answered
def _delete_balancer(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    arn = alb._p(params, "LoadBalancerArn")
    _check_protection(arn)
    provisioners._elbv2_load_balancer_delete(arn, {})  # with its listeners, which the emulator keeps
    return stock(params)


@action(alb, "ModifyLoadBalancerAttributes")
@answered
def _modify_attributes(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    if balancer := alb._lbs.get(alb._p(params, "LoadBalancerArn")):
        _check_attributes(balancer["Type"], nested(params, "Attributes"))
    return stock(params)


@action(alb, "SetSubnets")
@answered
def _set_subnets(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    balancer = alb._lbs.get(alb._p(params, "LoadBalancerArn"))
    subnets = _subnets_of({name: nested(params, name) for name in ("Subnets", "SubnetMappings")})
    if balancer and subnets:
        _check_network(balancer["Type"], subnets, balancer["SecurityGroups"])
    return stock(params)


@action(alb, "SetSecurityGroups")
@answered
def _set_security_groups(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    if balancer := alb._lbs.get(alb._p(params, "LoadBalancerArn")):
        _check_network(balancer["Type"], balancer["Subnets"], nested(params, "SecurityGroups"))
    return stock(params)
