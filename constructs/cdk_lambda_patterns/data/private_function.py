"""Function in private subnets → VPC endpoints (or NAT) → the services that it is given, and nothing else.

Use it for a function that reaches something private: a database, a cache, a service inside a VPC. Do not put
a function into a VPC only to make it safer: outside of one nobody can connect to it either, and it needs no
endpoints and no NAT.
"""

import os
from collections.abc import Mapping, Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions


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
        asynchronous: Give it if the function is invoked asynchronously; as for ``HardenedFunction``.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a new queue.
        options: Sizes, keys, logs: see ``FunctionOptions``.
        removal_policy: What happens to the logs and the failure queue when the stack is deleted.

    Raises:
        ValueError: A value is not allowed.

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
        asynchronous: AsyncOptions | None = None,
        on_failure: lambda_.IDestination | None = None,
        options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
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
            on_failure=on_failure,
            options=options,
            network=NetworkOptions(vpc=network.vpc, vpc_subnets=network.subnets, security_groups=[group]),
            removal_policy=removal_policy,
        )
        self.network = network
        self.security_group = group
