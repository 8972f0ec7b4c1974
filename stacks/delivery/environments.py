"""Deploys a function with the environments dev, test and prod."""

import re

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.environments import NEWEST, Environments, Version, Weighted
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# The version of each environment unless the context sets another one.
_DEFAULTS = {"dev": NEWEST, "test": "1", "prod": "1"}

_VALUE = re.compile(rf"(?P<version>{NEWEST}|\d+)(,(?P<additional>{NEWEST}|\d+):(?P<weight>[0-9.]+))?")


class EnvironmentsStack(PatternStack):
    """Postage quotes in dev, test and prod; prod also has a function URL.

    The context ``dev``, ``test`` and ``prod`` set the version of each: ``-c prod=2``, ``-c prod=newest``, or
    ``-c prod=1,2:0.1`` for a tenth of the calls to version 2.

    A demonstration: deleting the stack deletes the logs too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        function = HardenedFunction(
            self,
            "Function",
            code=pattern_source("delivery", "environments"),
            handler="environments.handler.handler",
            description="Quotes the postage of a parcel",
            options=FunctionOptions(memory_size=256, timeout=Duration.seconds(10)),
            removal_policy=RemovalPolicy.DESTROY,
        )
        environments = Environments(
            self,
            "Environments",
            function=function,
            aliases={
                name: version_of(name, str(self.node.try_get_context(name) or default))
                for name, default in _DEFAULTS.items()
            },
        )
        url = environments.aliases["prod"].add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        self.output("FunctionName", function.function_name)
        self.output("NewestVersion", function.current_version.version)
        self.output("ProdUrl", url.url)
        for name, alias in environments.aliases.items():
            self.output(f"{name.capitalize()}Arn", alias.function_arn)


def version_of(name: str, value: str) -> Version | Weighted:
    """Parse the context value of an environment.

    Raises:
        ValueError: It is neither a version nor two versions with a weight.
    """
    match = _VALUE.fullmatch(value)
    if match is None:
        raise ValueError(
            f"-c {name}={value}: give the number of a version (2), 'newest', or two of them and the share "
            "of calls for the second one (1,2:0.1)."
        )
    version = _number(match["version"])
    if match["additional"] is None:
        return version
    return Weighted(version, additional_version=_number(match["additional"]), weight=float(match["weight"]))


def _number(text: str) -> Version:
    return NEWEST if text == NEWEST else int(text)
