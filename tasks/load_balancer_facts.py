"""Which functions the listeners of a template's load balancers lead to."""

from collections.abc import Iterator, Mapping
from typing import Any

_ELB = "AWS::ElasticLoadBalancingV2"


def routes(resources: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Logical id of the load balancer, protocol and port, and logical id of the function, for each way."""
    targets = {
        logical_id: [_referred(target["Id"]) for target in properties.get("Targets", [])]
        for logical_id, properties in _of_type(resources, "TargetGroup")
    }
    for _, listener in _of_type(resources, "Listener"):
        for action in listener["DefaultActions"]:
            for function in targets.get(_referred(action.get("TargetGroupArn")), []):
                port = f"{listener['Protocol']} {listener['Port']}"
                yield _referred(listener["LoadBalancerArn"]), port, function


def _of_type(resources: Mapping[str, dict[str, Any]], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for logical_id, resource in resources.items():
        if resource["Type"] == f"{_ELB}::{name}":
            yield logical_id, resource["Properties"]


def _referred(value: object) -> str:
    """The logical id in a reference; empty if it is none."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return name
    return ""
