"""Function in private subnets → VPC endpoints (or NAT) → the AWS services that it uses, and nothing else.

Use it for a function that needs something private: a database, a cache, a service inside a VPC. Do not put a
function into a VPC only to make it safer: without one, nothing can connect to it either, and it needs neither
endpoints nor NAT.
"""

import os
from collections.abc import Mapping, Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions


@check_types
class PrivateFunction(HardenedFunction):
    """A hardened function in the private subnets of a network, which can reach only the given services.

    It builds the function, its security group (no inbound traffic; outbound HTTPS to the endpoints of
    ``services``) and the endpoints that the network does not have yet. An endpoint grants no permission: use
    the grant methods as for any function.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``; as for ``HardenedFunction``.
        network: The network that it runs in.
        services: The AWS services that it calls: ``ec2.GatewayVpcEndpointAwsService.S3`` and ``DYNAMODB``,
            ``ec2.InterfaceVpcEndpointAwsService`` for all others, including Lambda. With NAT, only those
            that should bypass it. The function's own logs and traces need no endpoint.
        handler: ``module.function`` in the folder.
        description: What the function does, 256 characters at most.
        environment: Environment variables; those in ``options`` are added and win.
        asynchronous: Give it if the function is invoked asynchronously; see ``HardenedFunction``.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a new queue.
        options: Sizes, keys, logs: see ``FunctionOptions``.
        removal_policy: What happens to the logs and the failure queue when the stack is deleted. Default:
            they are retained.

    Raises:
        ValueError: A value is not allowed.

    Attributes:
        network (PrivateNetwork): The network that it runs in.
        security_group (SecurityGroup): The function's own security group. ``connections`` adds rules to it.

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
        handler: str = DEFAULT_HANDLER,
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: AsyncOptions | None = None,
        on_failure: lambda_.IDestination | None = None,
        options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        group = make_function_group(scope, id, network, services)
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
            network=join(network, group),
            removal_policy=removal_policy,
        )
        self.network = network
        self.security_group = group


def make_function_group(
    scope: Construct, id: str, network: PrivateNetwork, services: Sequence[Service]
) -> ec2.SecurityGroup:
    """Make the security group of a function, which allows outbound HTTPS to the endpoints of some services.

    It is a sibling of the function, because the function needs it when it is made.
    """
    group = network.make_security_group(scope, f"{id}SecurityGroup", f"Function {id}: no inbound")
    network.allow_endpoints(group, services)
    return group


def join(network: PrivateNetwork, group: ec2.ISecurityGroup) -> NetworkOptions:
    """Return the options of a function that runs in a network with a security group."""
    return NetworkOptions(
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
        ipv6_allowed_for_dual_stack=network.ipv6_allowed_for_dual_stack,
    )
