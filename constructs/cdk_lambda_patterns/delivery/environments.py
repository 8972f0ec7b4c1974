"""Caller → alias (dev, test, prod) → numbered version of one function; promotion changes one value.

Use it where one function has several stages and people decide when the next one gets a version. Do not use
it to keep data or rights apart: all versions share the function's role, its concurrency and its account;
where that matters, deploy the stack once for each account. A release that watches itself and goes back on
its own is a canary by CodeDeploy, and not this.
"""

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import jsii
from aws_cdk import Stack, Token, Tokenization
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IValidation

from cdk_lambda_patterns.core.aliases import check_alias_name, keep_failures, publish

NEWEST: Final = "newest"
"""The version that each deployment publishes of a changed function."""

Version: TypeAlias = float | Literal["newest"]
"""The number of a published version (a whole number, or a token), or ``NEWEST``."""


@dataclass(frozen=True)
class Weighted:
    """Two versions behind one alias: each call goes to one of them, by chance.

    Both must have been published with the same execution role and the same dead-letter queue, else Lambda
    refuses the alias: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html

    Args:
        version: What the other calls go to.
        additional_version: What a share of the calls goes to.
        weight: That share, more than 0 and less than 1: 0.1 sends it every tenth call on average.

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
        for name in ("version", "additional_version"):
            _check_version(name, getattr(self, name))
        if self.version == self.additional_version:
            raise ValueError(
                f"additional_version={self.additional_version}: the alias has that version already; give "
                "another one, or the number alone."
            )
        if not Token.is_unresolved(self.weight) and not 0 < self.weight < 1:
            raise ValueError(
                f"weight={self.weight}: a share of the calls is more than 0 and less than 1; to send all of "
                "them to one version, give its number alone."
            )


class Environments(Construct):
    """Aliases of one function, each on a version that stays what it is until you name another.

    It publishes a version of the function with every deployment that changes its code or configuration, keeps
    all of them, and makes an alias for each environment. An alias's ARN never changes, so attach to it
    whatever invokes the function: permissions, event sources, function URLs. Of the function itself they
    would reach ``$LATEST``, which every deployment changes. What the function has configured for asynchronous
    invocations (retries, destinations) holds for ``$LATEST`` alone, so each alias gets the same.

    Args:
        function: The function itself; owned, of another stack, or imported by its ARN. Versions are published
            of a function that this app makes, in the stack that makes it.
        aliases: What each alias points at, by its name: ``NEWEST``, the number of a version, or ``Weighted``.

    Raises:
        ValueError: A name, version or weight is not allowed; the function is an alias or a version;
            ``NEWEST`` of a function that this stack does not make. At synthesis: weights on an alias that
            CodeDeploy shifts.

    Attributes:
        aliases (Mapping[str, Alias]): The aliases by their names, each of them an ``IFunction``.
        newest_version (Version | None): What ``NEWEST`` is; ``None`` if the function is imported.

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
        _check_aliases(aliases)
        self.newest_version = publish(function) if isinstance(function, lambda_.Function) else None
        self._function = function
        self._versions: dict[str, lambda_.IVersion] = {}
        self.aliases: Mapping[str, lambda_.Alias] = MappingProxyType(
            {name: self._make_alias(name, target) for name, target in aliases.items()}
        )
        self.node.add_validation(_NoWeightsUnderCodeDeploy(self.aliases.values()))

    def _make_alias(self, name: str, target: Version | Weighted) -> lambda_.Alias:
        version, additional = target, None
        if isinstance(target, Weighted):
            version = target.version
            additional = [
                lambda_.VersionWeight(
                    version=self._version(name, target.additional_version), weight=target.weight
                )
            ]
        assert not isinstance(version, Weighted)
        alias = lambda_.Alias(
            self,
            name,
            alias_name=name,
            version=self._version(name, version),
            additional_versions=additional,
        )
        if self.newest_version is not None:
            # A number may be the one that this deployment publishes.
            alias.node.add_dependency(self.newest_version)
        keep_failures(self._function, alias)
        return alias

    def _version(self, alias: str, version: Version) -> lambda_.IVersion:
        if version == NEWEST:
            return self._newest_for(alias)
        assert not isinstance(version, str)
        number = Tokenization.stringify_number(version) if Token.is_unresolved(version) else f"{version:.0f}"
        if number not in self._versions:
            self._versions[number] = lambda_.Version.from_version_attributes(
                self,
                f"Version {len(self._versions) + 1}",  # no alias has a space in its name
                lambda_=self._function,
                version=number,
            )
        return self._versions[number]

    def _newest_for(self, alias: str) -> lambda_.Version:
        if self.newest_version is None:
            raise ValueError(
                f"aliases[{alias!r}]=NEWEST: the function is imported, and who deploys it publishes its "
                "versions; give a number."
            )
        if Stack.of(self.newest_version).node.addr != Stack.of(self).node.addr:
            raise ValueError(
                f"aliases[{alias!r}]=NEWEST: the function is of another stack, whose export of the number "
                "CloudFormation would not let change; make Environments in that stack, or give a number."
            )
        return self.newest_version


@jsii.implements(IValidation)
class _NoWeightsUnderCodeDeploy:
    """CodeDeploy sets the weights of an alias that it shifts, and fails with one that has some already.

    https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments-lambda.html
    """

    def __init__(self, aliases: Collection[lambda_.Alias]) -> None:
        self._aliases = aliases

    def validate(self) -> list[str]:
        """Return a sentence for each alias that has weights and CodeDeploy. The CDK calls this."""
        return [
            f"alias {alias.alias_name}: CodeDeploy shifts its traffic and refuses weights of yours; give it "
            "one version, or leave it out of the deployment group."
            for alias in self._aliases
            if _has_weights_and_codedeploy(alias)
        ]


def _has_weights_and_codedeploy(alias: lambda_.Alias) -> bool:
    resource = alias.node.default_child
    assert isinstance(resource, lambda_.CfnAlias)
    policy = resource.cfn_options.update_policy
    shifted = policy is not None and policy.code_deploy_lambda_alias_update is not None
    return shifted and resource.routing_config is not None


def _check_function(function: lambda_.IFunction) -> None:
    """Refuse an alias or a version, imported ones too: these have attributes that a function has not."""
    what = "an alias" if hasattr(function, "alias_name") else "a version"
    qualified = hasattr(function, "alias_name") or hasattr(function, "version")
    arn = "" if qualified else function.function_arn
    if not Token.is_unresolved(arn) and len(arn.split(":")) > 7:  # arn:…:function:name:qualifier
        what, qualified = "an alias or a version", True
    if qualified:
        raise ValueError(
            f"function={function.node.path}: {what}, and an alias can only point at versions of a function; "
            "give the function itself."
        )


def _check_aliases(aliases: Mapping[str, Version | Weighted]) -> None:
    if not aliases:
        raise ValueError('aliases={}: nothing would be deployed; give at least one, such as {"prod": 1}.')
    for name, target in aliases.items():
        check_alias_name(f"aliases[{name!r}]", name)
        if not isinstance(target, Weighted):
            _check_version(f"aliases[{name!r}]", target)


def _check_version(name: str, version: object) -> None:
    if version == NEWEST or Token.is_unresolved(version):
        return
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"{name}={version!r}: give the number of a published version, 1 or more, or NEWEST; an alias "
            "cannot point at another alias, and not at $LATEST either, which every deployment changes."
        )
