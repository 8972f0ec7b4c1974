"""Ids of load balancers, listeners, rules and target groups: 16 hexadecimal digits.

Faithful to: length and alphabet; the DNS name of a load balancer ends in digits.
Not to: target groups and listener rules in templates, which have other letters as well.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
"""

from __future__ import annotations

from ministack.services import alb

from localaws.identifiers import DIGITS, HEXADECIMAL, cut_text, identifier
from localaws.patching import replaces


@replaces(alb, "_short_id")
def _short_id() -> str:
    return cut_text({8: (DIGITS, 10)}, identifier(HEXADECIMAL, 16))
