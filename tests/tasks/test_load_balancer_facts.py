"""What a diagram shows of load balancers."""

from __future__ import annotations

from typing import Any

from tasks.load_balancer_facts import routes
from tasks.template_facts import TemplateFacts

ELB = "AWS::ElasticLoadBalancingV2"
RESOURCES: dict[str, dict[str, Any]] = {
    "Front": {"Type": f"{ELB}::LoadBalancer", "Properties": {}},
    "Function": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Ref": "Role"}}},
    "Group": {
        "Type": f"{ELB}::TargetGroup",
        "Properties": {"Targets": [{"Id": {"Fn::GetAtt": ["Function", "Arn"]}}]},
    },
    "Https": {
        "Type": f"{ELB}::Listener",
        "Properties": {
            "LoadBalancerArn": {"Ref": "Front"},
            "Port": 443,
            "Protocol": "HTTPS",
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Group"}}],
        },
    },
    "Redirect": {
        "Type": f"{ELB}::Listener",
        "Properties": {
            "LoadBalancerArn": {"Ref": "Front"},
            "Port": 80,
            "Protocol": "HTTP",
            "DefaultActions": [{"Type": "redirect"}],
        },
    },
}


def test_a_listener_leads_to_the_function_of_its_target_group() -> None:
    assert list(routes(RESOURCES)) == [("Front", "HTTPS 443", "Function")]


def test_the_diagram_shows_the_load_balancer_and_its_ways() -> None:
    diagram = TemplateFacts({"Resources": RESOURCES}).diagram()
    assert 'Front(["ALB: Front"])' in diagram
    assert "Front ==>|HTTPS 443| Function" in diagram
