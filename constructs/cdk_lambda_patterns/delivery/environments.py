"""Caller → alias (dev, test, prod) → numbered version of one function; promotion changes one value.

Use it where one function has several stages and people decide when the next stage gets a version. Do not use
it to separate data or permissions: all versions share the function's role, its concurrency and its account.
Where that matters, deploy the stack once per account. For releases that roll back by themselves, use
``CanaryAlias``.
"""

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import jsii
from aws_cdk import Stack, Token, Tokenization
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IValidation

from cdk_lambda_patterns.core.aliases import (
    ALIAS_PLACE,
    check_alias_name,
    claim_alias,
    copy_async_configuration,
    is_alias,
    is_version,
    publish,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.regions import check_region

NEWEST: Final = "newest"
"""The version that each deployment publishes when the function has changed."""

Version: TypeAlias = float | Literal["newest"]
"""The number of a published version (a whole number or a number token), or ``NEWEST``."""


@check_types
@dataclass(frozen=True)
class Weighted:
    """Two versions behind one alias: Lambda picks one of them at random for each call.

    Both must have been published with the same execution role and the same dead-letter queue; otherwise
    Lambda rejects the alias: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html

    Args:
        version: The version for the remaining calls.
        additional_version: The version for a share of the calls.
        weight: That share, more than 0 and less than 1: 0.1 is a tenth of the calls on average.

    Raises:
        ValueError: A value is not allowed.

    Example::

        Weighted(6, additional_version=7, weight=0.1)
    """

    version: Version
    _: KW_ONLY
    additional_version: Version
    weight: float

    def __post_init__(self) -> None:
        _check_version("version", self.version)
        _check_version("additional_version", self.additional_version)
        if self.version == self.additional_version:
            raise ValueError(
                f"additional_version={self.additional_version}: the same as version; give another one, "
                "or only the number instead of Weighted."
            )
        if not 0 < self.weight < 1 and not Token.is_unresolved(self.weight):
            raise ValueError(
                f"weight={self.weight}: the share of the calls must be more than 0 and less than 1; to send "
                "all calls to one version, give only its number."
            )


@check_types
class Environments(Construct):
    """Aliases of one function, each pinned to a version until you name another one.

    It publishes a version with every deployment that changes the function's code or configuration, retains
    all versions, and makes an alias for each environment. The ARN of an alias never changes: attach
    permissions, event sources and function URLs to it. The function's own ARN means ``$LATEST``, which every
    deployment changes. The function's settings for asynchronous invocations (retries, destinations) apply to
    ``$LATEST`` only, so every alias gets the same settings.

    Args:
        function: The function itself: owned, from another stack, or imported by its ARN. Versions are
            published only of a function that this app makes.
        aliases: The version of each alias, by the alias's name: ``NEWEST``, a number, or ``Weighted``.

    Raises:
        ValueError: A name, version or weight is not allowed; the function is an alias or a version; or
            ``NEWEST`` is used with a function that this stack does not make; or another construct makes the
            same alias. At synthesis: an alias has
            weights although CodeDeploy shifts its traffic.

    Attributes:
        aliases (Mapping[str, Alias]): The aliases by name, each an ``IFunction``.
        newest_version (Version | None): The version that ``NEWEST`` means; ``None`` if the function is
            imported.

    Example::

        orders = HardenedFunction(self, "Orders", code="worker")
        environments = Environments(
            self, "Environments", function=orders,
            aliases={"dev": NEWEST, "test": 7, "prod": Weighted(6, additional_version=7, weight=0.1)},
        )
        topic.add_subscription(subscriptions.LambdaSubscription(environments.aliases["prod"]))

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.IFunction,
        aliases: Mapping[str, Version | Weighted],
    ) -> None:
        super().__init__(scope, id)
        _check_function(function)
        check_region(self, ALIAS_PLACE, {"function": function}, in_account=True)
        _check_aliases(aliases)
        self._function = function
        self._versions: dict[str, lambda_.IVersion] = {}
        self.newest_version = publish(function) if isinstance(function, lambda_.Function) else None
        self.aliases: Mapping[str, lambda_.Alias] = MappingProxyType(
            {name: self._make_alias(name, target) for name, target in aliases.items()}
        )
        self.node.add_validation(_NoWeightsUnderCodeDeploy(self.aliases.values()))

    def _make_alias(self, name: str, target: Version | Weighted) -> lambda_.Alias:
        claim_alias(self, self._function, name)
        weighted = target if isinstance(target, Weighted) else None
        additional = self._version(name, weighted.additional_version) if weighted else None
        version = target.version if isinstance(target, Weighted) else target
        alias = lambda_.Alias(self, name, alias_name=name, version=self._version(name, version))
        if weighted and additional:
            # Not as an argument of the alias, because the CDK refuses a weight that is a token.
            resource = alias.node.default_child
            assert isinstance(resource, lambda_.CfnAlias)
            share = lambda_.CfnAlias.VersionWeightProperty(
                function_version=additional.version, function_weight=weighted.weight
            )
            resource.routing_config = lambda_.CfnAlias.AliasRoutingConfigurationProperty(
                additional_version_weights=[share]
            )
        if self.newest_version is not None:
            # The number may be the one that this deployment publishes.
            alias.node.add_dependency(self.newest_version)
        copy_async_configuration(self._function, alias)
        return alias

    def _version(self, alias: str, version: Version) -> lambda_.IVersion:
        if isinstance(version, str):
            return self._newest_for(alias)
        number = Tokenization.stringify_number(version) if Token.is_unresolved(version) else str(version)
        if number not in self._versions:
            self._versions[number] = lambda_.Version.from_version_attributes(
                self,
                f"Version {len(self._versions) + 1}",  # the space keeps it apart from the aliases' ids
                lambda_=self._function,
                version=number,
            )
        return self._versions[number]

    def _newest_for(self, alias: str) -> lambda_.Version:
        if self.newest_version is None:
            raise ValueError(
                f"aliases[{alias!r}]=NEWEST: the function is imported, so another app publishes its "
                "versions; give a number."
            )
        if Stack.of(self.newest_version).node.addr != Stack.of(self).node.addr:
            raise ValueError(
                f"aliases[{alias!r}]=NEWEST: the function is from another stack, and CloudFormation lets no "
                "exported value change while another stack imports it; make Environments in the stack of the "
                "function, or give a number."
            )
        return self.newest_version


@jsii.implements(IValidation)
class _NoWeightsUnderCodeDeploy:
    """CodeDeploy sets the weights of an alias itself, and fails if the alias has weights already.

    https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments-lambda.html
    """

    def __init__(self, aliases: Collection[lambda_.Alias]) -> None:
        self._aliases = aliases

    def validate(self) -> list[str]:
        """Return an error for each alias with both weights and CodeDeploy. The CDK calls this."""
        return [
            f"alias {alias.alias_name}: CodeDeploy shifts its traffic and fails if the alias has weights; "
            "give it one version, or take it out of the deployment group."
            for alias in self._aliases
            if _has_weights_and_codedeploy(alias)
        ]


def _has_weights_and_codedeploy(alias: lambda_.Alias) -> bool:
    resource = alias.node.default_child
    if not isinstance(resource, lambda_.CfnAlias) or resource.routing_config is None:
        return False
    policy = resource.cfn_options.update_policy
    return policy is not None and policy.code_deploy_lambda_alias_update is not None


def _check_function(function: lambda_.IFunction) -> None:
    """Reject an alias or a version, owned or imported: they have attributes that a function does not have."""
    if is_alias(function):
        kind = "an alias"
    elif is_version(function):
        kind = "a version"
    elif not Token.is_unresolved(function.function_arn) and function.function_arn.count(":") > 6:
        kind = "an alias or a version"  # arn:aws:lambda:region:account:function:name:qualifier
    else:
        return
    raise ValueError(
        f"function={function.node.path}: this is {kind}, but an alias can only point at versions of a "
        "function; give the function itself."
    )


def _check_aliases(aliases: Mapping[str, Version | Weighted]) -> None:
    if not aliases:
        raise ValueError('aliases={}: nothing would be deployed; give at least one, such as {"prod": 1}.')
    for name, target in aliases.items():
        check_alias_name(f"aliases[{name!r}]", name)
        if not isinstance(target, Weighted):
            _check_version(f"aliases[{name!r}]", target)


def _check_version(name: str, version: object) -> None:
    if version == NEWEST:
        return
    if isinstance(version, float | int) and Token.is_unresolved(version):
        return
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"{name}={version!r}: give the number of a published version, 1 or more, or NEWEST. An alias "
            "cannot point at another alias or at $LATEST, which every deployment changes."
        )
