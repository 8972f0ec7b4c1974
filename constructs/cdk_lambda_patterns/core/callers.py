"""Accounts, organizations and addresses that a policy names."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from aws_cdk import Token

_ACCOUNT = re.compile(r"[0-9]{12}")
# https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_CIDR = re.compile(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?")
_PRIVATE = [
    ipaddress.ip_network(private)
    for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]


def check_account(argument: str, account: str) -> None:
    """Check the id of an account.

    Raises:
        ValueError: It is malformed.
    """
    check_pattern(argument, account, _ACCOUNT, "12 digits, such as '111122223333'")


def check_organization(argument: str, organization_id: str) -> None:
    """Check the id of an organization.

    Raises:
        ValueError: It is malformed.
    """
    check_pattern(argument, organization_id, _ORGANIZATION, "an id such as 'o-a1b2c3d4e5'")


def check_pattern(argument: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    """Check a value against a pattern; tokens pass.

    Raises:
        ValueError: The value does not match; the message says what is allowed.
    """
    if not pattern.fullmatch(value) and not Token.is_unresolved(value):
        raise ValueError(f"{argument}={value!r}: give {allowed}.")


def only_from(source_cidrs: Sequence[str]) -> dict[str, Any]:
    """Return the condition that requests come over the internet from these addresses.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-sourceip

    Raises:
        ValueError: There are none, or one is no CIDR block, or private.
    """
    if not source_cidrs:
        raise ValueError("source_cidrs=[]: no address could call; leave it out to admit all of them.")
    for cidr in [] if Token.is_unresolved(list(source_cidrs)) else source_cidrs:
        if Token.is_unresolved(cidr):
            continue
        try:
            if not _CIDR.fullmatch(cidr):  # ipaddress also takes netmasks and names of interfaces
                raise ValueError(f"{cidr!r} is no CIDR block")
            network = ipaddress.ip_network(cidr)
        except ValueError as error:
            raise ValueError(f"source_cidrs: {error}; give a CIDR block such as '203.0.113.0/24'.") from None
        if any(network.overlaps(private) and network.prefixlen >= private.prefixlen for private in _PRIVATE):
            raise ValueError(
                f"source_cidrs: {cidr} is private, and requests come over the internet; give the public "
                "address of the callers, such as that of their NAT gateway."
            )
    return {"IpAddress": {"aws:SourceIp": list(source_cidrs)}}
