"""Listeners, and the actions of listeners and rules, which Elastic Load Balancing accepts.

The emulator accepts two listeners on one port, any port, protocol and certificate, and any actions. In
requests to its API, it does not read ForwardConfig.

Faithful to: through the API and in templates,
- a listener has a port that no other listener of its load balancer has, a protocol for the type of load
  balancer, and one default certificate exactly if it is HTTPS or TLS;
- the actions of a listener or rule are at least one, in an order, and the last of them is the only one that
  routes;
- a fixed response has a status of 2xx, 4xx or 5xx, one of five content types and at most 1,024 characters; a
  redirect changes the request, is 301 or 302, and never leads from HTTPS to HTTP; a forward has one to five
  target groups, which exist and are used by no other load balancer.
Not to: whether certificates, security policies, user pools and trust stores exist; ALPN and mutual
authentication; attributes of listeners.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Action.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_FixedResponseActionConfig.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RedirectActionConfig.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import alb
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, around, resource
from localaws.services.elbv2.refusals import (
    InvalidRequestError,
    Response,
    answered,
    check_choice,
    check_range,
    nested,
    violated,
)

_PROTOCOLS = {
    "application": ("HTTP", "HTTPS"),
    "network": ("TCP", "QUIC", "TCP_QUIC", "UDP", "TCP_UDP", "TLS"),
}
_ALL_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC")
_SECURE = ("HTTPS", "TLS")
_CONFIGS = {
    "forward": "ForwardConfig",
    "authenticate-oidc": "AuthenticateOidcConfig",
    "authenticate-cognito": "AuthenticateCognitoConfig",
    "redirect": "RedirectConfig",
    "fixed-response": "FixedResponseConfig",
    "jwt-validation": "JwtValidationConfig",
}
_ROUTING = ("forward", "redirect", "fixed-response")
_CONTENT_TYPES = ("text/html", "application/json", "application/javascript", "text/css", "text/plain")
_UNCHANGED = {"Protocol": "#{protocol}", "Host": "#{host}", "Port": "#{port}", "Path": "/#{path}"}
_LENGTHS = {"Host": (1, 128), "Path": (1, 128), "Query": (0, 128)}
_INVALID = "InvalidLoadBalancerAction"
#: Where the record of an action has all its target groups; the emulator keeps the first.
_GROUPS = "localaws_groups"


# --- Actions


def check_actions(member: str, actions: Sequence[Properties], protocol: str, balancer: str) -> None:
    """Check the actions of a listener or of a rule.

    Args:
        member: Their name in the API: `actions` or `defaultActions`.
        actions: The actions.
        protocol: The protocol of the listener.
        balancer: The ARN of its load balancer.

    Raises:
        InvalidRequestError: Elastic Load Balancing does not accept them.
    """
    if not actions:
        raise InvalidRequestError("An action must be specified")
    for number, one in enumerate(actions, 1):
        check_choice(f"{member}.{number}.member.type", one.get("Type"), _CONFIGS)
        _check_action(f"{member}.{number}.member", one, protocol, balancer)
    if len(actions) > 1 and not all(one.get("Order") for one in actions):
        raise InvalidRequestError(
            "When you specify multiple actions, you must specify an order for each action", _INVALID
        )
    routing = [one for one in actions if one["Type"] in _ROUTING]
    if len(routing) > 1:
        types = ",".join(one["Type"] for one in routing)
        raise InvalidRequestError(f"Action types '{types}' cannot be specified together", _INVALID)
    if not routing:
        raise InvalidRequestError("The last action must route the request", _INVALID)
    if any(int(one["Order"]) > int(routing[0]["Order"]) for one in actions if one is not routing[0]):
        text = f"An action of type '{routing[0]['Type']}' must have a higher order than all other actions"
        raise InvalidRequestError(text, _INVALID)


def _check_action(member: str, one: Properties, protocol: str, balancer: str) -> None:
    config = one.get(_CONFIGS[one["Type"]])
    if not config and not (one["Type"] == "forward" and one.get("TargetGroupArn")):
        text = f"For actions of type '{one['Type']}', you must specify the following fields"
        raise InvalidRequestError(f"{text}: '{_CONFIGS[one['Type']]}'")
    match one["Type"]:
        case "forward":
            _check_forward(one, config or {}, balancer)
        case "fixed-response":
            _check_fixed(f"{member}.fixedResponseConfig", config or {})
        case "redirect":
            _check_redirect(f"{member}.redirectConfig", config or {}, protocol)


def _check_forward(one: Properties, config: Properties, balancer: str) -> None:
    weighted = config.get("TargetGroups") or []
    groups = [str(group.get("TargetGroupArn")) for group in weighted]
    if len(groups) > 5:
        raise InvalidRequestError("You cannot specify more than 5 target groups per action", _INVALID)
    if any(not 0 <= int(group.get("Weight", 1)) <= 999 for group in weighted):
        text = "The weight for the target group must be between 1 and 999, inclusive"  # AWS accepts 0
        raise InvalidRequestError(text, _INVALID)
    top = one.get("TargetGroupArn")
    if top and groups and groups != [top]:
        text = (
            "You can specify both a target group list and a top-level target group ARN only if the ARNs match"
        )
        raise InvalidRequestError(text, _INVALID)
    for arn in groups or [str(top)]:
        if arn not in alb._tgs:
            raise InvalidRequestError(f"Target group '{arn}' not found", "TargetGroupNotFound")
        if users_of(arn) - {balancer}:
            text = "The following target groups cannot be associated with more than one load balancer"
            raise InvalidRequestError(f"{text}: {arn}", "TargetGroupAssociationLimit")


def users_of(target_group: str) -> set[str]:
    """The load balancers with a listener or rule that forwards to a target group."""
    listeners = {
        rule["ListenerArn"]
        for rule in alb._rules.values()
        if any(target_group in one.get(_GROUPS, ()) for one in rule["Actions"])
    }
    return {alb._listeners[arn]["LoadBalancerArn"] for arn in listeners if arn in alb._listeners}


def _check_fixed(member: str, config: Properties) -> None:
    status, body = str(config.get("StatusCode", "")), str(config.get("MessageBody") or "")
    if not re.fullmatch(r"[245]\d\d", status, re.ASCII):
        pattern = r"Member must satisfy regular expression pattern: ^(2|4|5)\d\d$"
        raise violated(f"{member}.statusCode", status, pattern)
    if len(body) > 1024:
        raise violated(f"{member}.messageBody", body, "Member must have length less than or equal to 1024")
    if config.get("ContentType", _CONTENT_TYPES[0]) not in _CONTENT_TYPES:
        allowed = ", ".join(f"'{one}'" for one in _CONTENT_TYPES)
        raise InvalidRequestError(f"The ContentType must be one of:{allowed}", _INVALID)


def _check_redirect(member: str, config: Properties, protocol: str) -> None:
    wanted = {**_UNCHANGED, **{name: str(value) for name, value in config.items() if value}}
    check_choice(f"{member}.statusCode", config.get("StatusCode"), ("HTTP_301", "HTTP_302"))
    if not re.fullmatch(r"HTTPS?|#\{protocol\}", wanted["Protocol"]):
        pattern = r"Member must satisfy regular expression pattern: ^(HTTPS?|#\{protocol\})$"
        raise violated(f"{member}.protocol", wanted["Protocol"], pattern)
    for name, (low, high) in _LENGTHS.items():
        if not low <= len(wanted.get(name, "x")) <= high:
            text = f"Member must have length less than or equal to {high}"
            raise violated(f"{member}.{name.lower()}", wanted[name], text)
    port = wanted["Port"]
    if port != "#{port}" and not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and 1 <= int(port) <= 65_535):
        text = "The Port parameter must be either an integer between 1 and 65535 or '#{port}'."
        raise InvalidRequestError(text, _INVALID)
    if not wanted["Path"].startswith("/"):
        text = (
            "The Path parameter must be a valid path, should start with a '/', and may contain up to one of "
            "each of these placeholders: '#{path}', '#{host}', '#{port}'."
        )
        raise InvalidRequestError(text, _INVALID)
    if (protocol, wanted["Protocol"]) == ("HTTPS", "HTTP"):
        raise InvalidRequestError("You cannot redirect HTTPS to HTTP.", _INVALID)
    if all(wanted[name] == value for name, value in _UNCHANGED.items()):
        text = "The redirect configuration is not valid because it creates a loop."
        raise InvalidRequestError(text, _INVALID)


@around(alb, "_parse_actions")
def _parse_actions(
    stock: Callable[..., list[Properties]], params: dict[str, Any], prefix: str = "DefaultActions"
) -> list[Properties]:
    return _with_groups(stock(params, prefix), nested(params, prefix))


@around(provisioners, "_elbv2_listener_actions")
def _listener_actions(
    stock: Callable[..., list[Properties]],
    props: Properties,
    lb_arn: str | None,
    prop: str = "DefaultActions",
) -> list[Properties]:
    return _with_groups(stock(props, lb_arn, prop), props.get(prop) or [])


def _with_groups(actions: list[Properties], given: Sequence[Properties]) -> list[Properties]:
    for one, of in zip(actions, given, strict=True):
        groups = [
            group["TargetGroupArn"] for group in (of.get("ForwardConfig") or {}).get("TargetGroups") or []
        ]
        one[_GROUPS] = groups or [of["TargetGroupArn"]] if of.get("Type") == "forward" else []
        if one[_GROUPS]:
            one.setdefault("TargetGroupArn", one[_GROUPS][0])
    return actions


# --- Listeners


def _check_listener(given: Properties, arn: str = "") -> None:
    """Check a listener.

    Args:
        given: Its settings, those that a request changes and the others.
        arn: Its ARN, if it exists.
    """
    balancer = alb._lbs.get(given.get("LoadBalancerArn"))
    if balancer is None or balancer["Type"] == "gateway":
        return  # the emulator refuses the former, and the latter has no port
    port, protocol = given.get("Port"), given.get("Protocol")
    if port in (None, ""):
        raise InvalidRequestError("A listener port must be specified")
    if not protocol:
        raise InvalidRequestError("A listener protocol must be specified")
    check_range("port", port, 1, 65_535)
    check_choice("protocol", protocol, _ALL_PROTOCOLS)
    allowed = _PROTOCOLS.get(balancer["Type"], (protocol,))
    if protocol not in allowed:
        raise InvalidRequestError(f"Listener protocol '{protocol}' must be one of '{', '.join(allowed)}'")
    _check_certificates(protocol, given)
    balancer_arn = balancer["LoadBalancerArn"]
    for other in alb._listeners.values():
        same = (other["LoadBalancerArn"], str(other["Port"])) == (balancer_arn, str(port))
        if same and other["ListenerArn"] != arn:
            text = f"A listener already exists on this port for this load balancer '{balancer_arn}'"
            raise InvalidRequestError(text, "DuplicateListener")
    if "DefaultActions" in given:
        check_actions("defaultActions", given["DefaultActions"] or [], protocol, balancer_arn)


def _check_certificates(protocol: str, given: Properties) -> None:
    certificates = given.get("Certificates") or []
    if len(certificates) > 1:
        text = f"Up to '1' certificate ARNs can be specified, but '{len(certificates)}' were specified"
        raise InvalidRequestError(text, "TooManyCertificates")
    if protocol in _SECURE and not certificates:
        raise InvalidRequestError(f"A certificate must be specified for {protocol} listeners")
    if protocol not in _SECURE and certificates:
        raise InvalidRequestError(f"A certificate cannot be specified for {protocol} listeners")
    if protocol not in _SECURE and given.get("SslPolicy"):
        # AWS writes it like this.
        raise InvalidRequestError(f"An SSL policy cannot be specifed for {protocol} listeners")


_LISTENER = resource("AWS::ElasticLoadBalancingV2::Listener")


@_LISTENER.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check_listener({"DefaultActions": [], **properties})
    return stock(logical_id, properties, stack)


@_LISTENER.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check_listener({"DefaultActions": [], **new}, physical_id)
    return stock(physical_id, old, new, stack, logical_id)


def _given(params: dict[str, Any]) -> Properties:
    names = ("LoadBalancerArn", "Port", "Protocol", "SslPolicy")
    given: Properties = {name: alb._p(params, name) for name in names if name in params}
    given["DefaultActions"] = nested(params, "DefaultActions")
    given["Certificates"] = nested(params, "Certificates")
    return given


@action(alb, "CreateListener")
@answered
def _create_listener(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    _check_listener(_given(params))
    return stock(params)


@action(alb, "ModifyListener")
@answered
def _modify_listener(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    arn, given = alb._p(params, "ListenerArn"), _given(params)
    if listener := alb._listeners.get(arn):
        secure = (given.get("Protocol") or listener["Protocol"]) in _SECURE
        kept = listener if secure else {**listener, "Certificates": [], "SslPolicy": ""}
        changed = {name: value for name, value in given.items() if value}
        current = {name: value for name, value in kept.items() if name != "DefaultActions"}
        _check_listener({**current, **changed}, arn)
    return stock(params)
