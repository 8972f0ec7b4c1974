"""Function in private subnets → VPC endpoints (or NAT) → the services that it is given, and nothing else.

Use it for a function that reaches something private: a database, a cache, a service inside a VPC. Do not put
a function into a VPC only to make it safer: outside of one nobody can connect to it either, and it needs no
endpoints and no NAT.
"""

import os
from collections.abc import Mapping, Sequence

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.function import HardenedFunction
from cdk_lambda_patterns.options import FunctionOptions
from cdk_lambda_patterns.private_network import PrivateNetwork, Service


class PrivateFunction(HardenedFunction):
    """A hardened function in the private subnets of a network, which reaches what it was given alone.

    It builds the function, its security group (nothing comes in; out goes HTTPS to the endpoints of
    ``services``) and those endpoints in the network that are not there yet. Permissions are granted as ever:
    an endpoint is a way, not a right.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``; as for ``HardenedFunction``.
        network: Where it runs.
        services: The AWS services that it calls: ``ec2.GatewayVpcEndpointAwsService.S3`` and ``DYNAMODB``,
            ``ec2.InterfaceVpcEndpointAwsService`` for all others, Lambda among them. With NAT, only those
            that should not go through it. Logs and traces of the function itself need no endpoint.
        handler: ``module.function`` in the folder.
        description: What the function does, 256 characters at most.
        environment: Environment variables; those in ``options`` are added and win.
        asynchronous: Whether S3, SNS, EventBridge or a caller with ``InvocationType=Event`` invokes it.
        options: Sizes, keys, logs, retries: see ``FunctionOptions``.

    Raises:
        ValueError: A value is not allowed; the network is given in ``options`` as well.

    Attributes:
        network (PrivateNetwork): Where it runs.
        security_group (SecurityGroup): Its own; ``connections`` opens further ways from it.

    Example::

        worker = PrivateFunction(
            self, "Worker", code="worker", network=PrivateNetwork(self, "Network"),
            services=[ec2.GatewayVpcEndpointAwsService.DYNAMODB],
        )
        table.grant_read_data(worker)

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        network: PrivateNetwork,
        services: Sequence[Service] = (),
        handler: str = "handler.handler",
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: bool = False,
        options: FunctionOptions | None = None,
    ) -> None:
        options = options or FunctionOptions()
        if given := options.given("vpc", "vpc_subnets", "security_groups"):
            raise ValueError(
                f"options: {', '.join(given)}: the network decides; give network=PrivateNetwork(self, "
                "'Network', vpc=..., vpc_subnets=...), and open ways by the function's connections."
            )
        # Beside the function and not inside: the function needs it before it is there itself.
        group = network.make_security_group(scope, f"{id}SecurityGroup", f"Function {id}: nothing comes in")
        network.open_ways(group, services)
        super().__init__(
            scope,
            id,
            code=code,
            handler=handler,
            description=description,
            environment=environment,
            asynchronous=asynchronous,
            options=options.with_defaults(
                vpc=network.vpc, vpc_subnets=network.subnets, security_groups=[group]
            ),
        )
        self.network = network
        self.security_group = group
