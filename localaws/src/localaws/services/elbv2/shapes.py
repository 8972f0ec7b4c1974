"""Ids of load balancers, listeners, rules and target groups: 16 hexadecimal digits.

Faithful to: length and alphabet; the DNS name of a load balancer ends in digits.
Not to: how AWS makes them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
"""

from __future__ import annotations

from ministack.services import alb

from localaws.identifiers import DIGITS, HEXADECIMAL, cut_text, identifier
from localaws.patching import Created, Handler, Properties, replaces, resource


@replaces(alb, "_short_id")
def _short_id() -> str:
    return cut_text({8: (DIGITS, 10)}, identifier(HEXADECIMAL, 16))


_GROUP = resource("AWS::ElasticLoadBalancingV2::TargetGroup")
_RULE = resource("AWS::ElasticLoadBalancingV2::ListenerRule")


@_GROUP.create
@_RULE.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    """Give a resource of a template another id: the emulator's handlers do not use `_short_id` for these."""
    arn, attributes = stock(logical_id, properties, stack)
    old, new = arn[-16:], identifier(HEXADECIMAL, 16)
    made = arn[:-16] + new
    for records in (alb._tgs, alb._targets, alb._tags, alb._tg_attrs, alb._rules):
        if arn in records:
            records[made] = records.pop(arn)
    for records, name in ((alb._tgs, "TargetGroupArn"), (alb._rules, "RuleArn")):
        if made in records:
            records[made][name] = made
    return made, {name: value.replace(old, new) for name, value in attributes.items()}
