"""Resources in other Regions and accounts than the stack: checked as far as both are known at synthesis."""

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from aws_cdk import IResource, Reference, Stack, Tokenization
from constructs import Construct, IConstruct

SAME_REGION = "The function calls it in its own Region only"
TABLE_PLACE = "The function finds it by name, in its own account and Region"
# https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
OWN_KEYS = "A service uses keys of its own Region only"

# The CDK takes Region and account from the ARNs of some imported resources, and not from these.
_ARNS = (
    "function_arn",  # of versions and aliases
    "table_arn",
    "layer_version_arn",
    "code_signing_config_arn",
    "certificate_arn",
    "listener_arn",
    "alarm_arn",
    "db_proxy_arn",
)


def check_region(
    scope: Construct, why: str, resources: Mapping[str, IResource | str | None], *, in_account: bool = False
) -> None:
    """Check that resources are in the Region of the stack, as far as both Regions are known.

    Args:
        scope: A construct of the stack.
        why: Why AWS requires it, as a sentence without its full stop.
        resources: By argument, each a resource or its ARN; ``None`` (not given) passes.
        in_account: Whether AWS requires the account of the stack as well.

    Raises:
        ValueError: One is in another Region or account.
    """
    for name, given in resources.items():
        if given is None:
            continue
        region, account = _place_in(given) if isinstance(given, str) else _place_of(given)
        for kind, theirs in (("Region", region), ("account", account if in_account else "")):
            # Each question to jsii costs: the stack is asked only about what is known of the resource.
            if is_known(theirs) and differ(theirs, ours := getattr(Stack.of(scope), kind.lower())):
                raise ValueError(
                    f"{name}={shown(given)}: it is in {theirs}, and this stack in {ours}. {why}; give one of "
                    f"the same {kind}, or deploy this stack there."
                )


def shown(given: IResource | str) -> str:
    """What a message calls a resource: its path, also if an ARN refers to it, or the ARN."""
    if not isinstance(given, str):
        return given.node.path
    if target := target_of(given):
        return target.node.path.removesuffix("/Resource")
    return given if is_known(given) else "the resource"


def _place_of(resource: IResource) -> tuple[str, str]:
    for name in _ARNS:
        if any(place := _place_in(getattr(resource, name, ""))):
            return place
    env = resource.env
    return env.region, env.account


# Several checks of one function ask for the same ARN, and each question to jsii costs.
@lru_cache(maxsize=64)
def _place_in(arn: str) -> tuple[str, str]:
    """Return the Region and the account that an ARN names, each empty if it names none here."""
    parts = arn.split(":")  # a token has no colon
    if len(parts) >= 6:
        return parts[3], parts[4]
    if target := target_of(arn):
        stack = Stack.of(target)
        return stack.region, stack.account
    return "", ""


@lru_cache(maxsize=64)
def target_of(arn: str) -> IConstruct | None:
    """What an ARN refers to, if it is a reference to a resource of this app."""
    for token in Tokenization.reverse_string(arn).tokens if arn and not is_known(arn) else ():
        if Reference.is_reference(token):
            return cast(Reference, token).target
    return None


def differ(one: str, other: str) -> bool:
    """Whether two Regions or accounts differ; false if one is known only at deployment."""
    return one != other and is_known(one) and is_known(other)


def is_known(text: str) -> bool:
    """Whether a text is there and no token is in it: ``Token.is_unresolved``, without asking jsii."""
    return bool(text) and "${Token[" not in text
