"""Functions in private subnets → VPC endpoints, or NAT → AWS services. Nothing can connect from outside.

Without NAT the subnets are isolated: functions reach AWS services through VPC endpoints only, one for each
service. With NAT they reach the whole internet, and each NAT gateway costs money even when idle.
"""

from collections.abc import Iterable

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import acknowledge

# S3 and DynamoDB have gateway endpoints, which are free; all other services have interface endpoints.
# https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
Service = ec2.InterfaceVpcEndpointAwsService | ec2.GatewayVpcEndpointAwsService
_GATEWAY_SERVICES = ("s3", "dynamodb")

_HTTPS = ec2.Port.tcp(443)

# A DB subnet group and RDS Proxy need two: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
_AVAILABILITY_ZONES = Limit("PrivateNetwork", 2, 6, "Availability Zones")


@check_types
class PrivateNetwork(Construct):
    """A new or existing VPC with private subnets for functions, and endpoints for the services they use.

    It builds a VPC unless one is given, and an endpoint for each service that a function uses (``services``
    of ``PrivateFunction``), once for all functions. An interface endpoint accepts connections from the
    security groups of those functions only. The policy of each endpoint allows principals of this account to
    use resources of this account: another account's credentials and buckets are of no use in this network.

    Args:
        vpc: The VPC. Default: a new one.
        vpc_subnets: Which subnets of an existing VPC; not public ones. Default: those with NAT, or the
            isolated ones if there are none.
        nat_gateways: How many NAT gateways a new VPC gets, 0 to ``max_azs``. Default: 0, isolated subnets.
            With only one, all Availability Zones depend on that gateway's.
        max_azs: How many Availability Zones a new VPC spans, 2 to 6. RDS and RDS Proxy need two.

    Raises:
        ValueError: A value is not allowed, or a subnet is public.

    Attributes:
        vpc (IVpc): The VPC.
        subnets (SubnetSelection): The private subnets, for functions, databases and endpoints.
        endpoints (dict[str, IVpcEndpoint]): The endpoints that this construct made, by the short name of the
            service (``"sqs"``).

    Example::

        network = PrivateNetwork(self, "Network", nat_gateways=1)
        network.vpc.add_flow_log("FlowLog")

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        nat_gateways: int = 0,
        max_azs: int = 2,
    ) -> None:
        _AVAILABILITY_ZONES.check("max_azs", max_azs)
        if not 0 <= nat_gateways <= max_azs:
            raise ValueError(
                f"nat_gateways={nat_gateways}: at most one NAT gateway per Availability Zone "
                f"(max_azs={max_azs}); give 0 to {max_azs}."
            )
        if vpc is None and vpc_subnets is not None:
            raise ValueError("vpc_subnets without vpc: give the VPC of the subnets as well.")
        if vpc is not None and nat_gateways:
            raise ValueError(
                f"nat_gateways={nat_gateways} cannot be combined with vpc, which has its own gateways; leave "
                "nat_gateways out, and choose subnets with NAT by vpc_subnets."
            )
        super().__init__(scope, id)
        self.vpc = vpc or self._make_vpc(nat_gateways, max_azs)
        self.subnets = vpc_subnets or _private_subnets(self.vpc)
        self.endpoints: dict[str, ec2.InterfaceVpcEndpoint | ec2.GatewayVpcEndpoint] = {}

        selected = self.vpc.select_subnets(
            subnets=self.subnets.subnets,
            subnet_type=self.subnets.subnet_type,
            subnet_group_name=self.subnets.subnet_group_name,
            subnet_filters=self.subnets.subnet_filters,
            availability_zones=self.subnets.availability_zones,
            one_per_az=self.subnets.one_per_az,
        )
        if selected.has_public:
            raise ValueError(
                "vpc_subnets: a public subnet is among them. A function has no public IP address, so in a "
                "public subnet it reaches neither the internet nor any AWS service without an endpoint; "
                "choose PRIVATE_WITH_EGRESS (NAT) or PRIVATE_ISOLATED subnets."
            )
        self._has_nat = bool(nat_gateways) or (
            vpc is not None and _ids(selected.subnets) <= _ids(vpc.private_subnets)
        )

    def make_security_group(self, scope: Construct, id: str, description: str) -> ec2.SecurityGroup:
        """Make a security group in the VPC that allows no inbound and no outbound traffic yet.

        Args:
            scope: The parent.
            id: The id under the parent.
            description: Description of the group. Changing it replaces the group.
        """
        return ec2.SecurityGroup(scope, id, vpc=self.vpc, description=description, allow_all_outbound=False)

    def allow_endpoints(self, client: ec2.IConnectable, services: Iterable[Service]) -> None:
        """Allow HTTPS from a client to the endpoints of services; with NAT, to every address.

        Args:
            client: A function, or anything else in the VPC that has a security group.
            services: The services. An endpoint is made for each that has none in this network yet.

        Raises:
            ValueError: An interface endpoint is asked for where a gateway endpoint, which is free, will do.
        """
        any_address = self._has_nat
        for service in services:
            endpoint = self._endpoint(service)
            if isinstance(endpoint, ec2.InterfaceVpcEndpoint):
                # Called on the client, so that both rules are in the client's stack if there are two stacks.
                client.connections.allow_to(endpoint, _HTTPS, "HTTPS from a function to the endpoint")
            else:
                any_address = True
        if any_address:
            # The addresses of S3 and DynamoDB are in prefix lists, whose ids need a look-up in the account.
            # Without NAT, the route table has no other routes out of the VPC anyway.
            client.connections.allow_to_any_ipv4(_HTTPS, "HTTPS, limited by the route table")

    def _make_vpc(self, nat_gateways: int, max_azs: int) -> ec2.Vpc:
        private = ec2.SubnetType.PRIVATE_WITH_EGRESS if nat_gateways else ec2.SubnetType.PRIVATE_ISOLATED
        subnets = [ec2.SubnetConfiguration(name="Private", subnet_type=private)]
        if nat_gateways:
            # For the NAT gateways only: small, and instances would get no public IP address in it.
            public = ec2.SubnetConfiguration(
                name="Public",
                subnet_type=ec2.SubnetType.PUBLIC,
                cidr_mask=28,
                map_public_ip_on_launch=False,
            )
            subnets.append(public)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=max_azs,
            nat_gateways=nat_gateways,
            subnet_configuration=subnets,
            # Nothing uses the default security group, and closing it would take a custom resource and a role.
            restrict_default_security_group=False,
        )
        acknowledge(
            vpc,
            {
                "AwsSolutions-VPC7": "Flow logs are charged by the gigabyte, so they are the account owner's "
                "choice; network.vpc.add_flow_log(...) adds them."
            },
        )
        return vpc

    def _endpoint(self, service: Service) -> ec2.InterfaceVpcEndpoint | ec2.GatewayVpcEndpoint:
        name = _short_name(service)
        if name not in self.endpoints:
            if isinstance(service, ec2.InterfaceVpcEndpointAwsService):
                self.endpoints[name] = self._make_interface_endpoint(name, service)
            else:
                self.endpoints[name] = self._make_gateway_endpoint(name, service)
            self.endpoints[name].add_to_policy(self._endpoint_statement())
        return self.endpoints[name]

    def _make_interface_endpoint(
        self, name: str, service: ec2.InterfaceVpcEndpointAwsService
    ) -> ec2.InterfaceVpcEndpoint:
        if name in _GATEWAY_SERVICES:
            raise ValueError(
                f"services: an interface endpoint for {name} is charged by the hour, a gateway endpoint is "
                f"free; give ec2.GatewayVpcEndpointAwsService.{name.upper()}."
            )
        group = self.make_security_group(
            self, f"{name}-security-group", f"Endpoint of {name}: inbound from functions that use it"
        )
        return ec2.InterfaceVpcEndpoint(
            self,
            name,
            vpc=self.vpc,
            service=service,
            subnets=self.subnets,
            security_groups=[group],
            open=False,
        )

    def _make_gateway_endpoint(
        self, name: str, service: ec2.GatewayVpcEndpointAwsService
    ) -> ec2.GatewayVpcEndpoint:
        return ec2.GatewayVpcEndpoint(self, name, vpc=self.vpc, service=service, subnets=[self.subnets])

    def _endpoint_statement(self) -> iam.PolicyStatement:
        # Not every service sets aws:ResourceAccount; where it is set, it must be this account.
        # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
        account = Stack.of(self).account
        return iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=["*"],
            resources=["*"],
            conditions={
                "StringEquals": {"aws:PrincipalAccount": account},
                "StringEqualsIfExists": {"aws:ResourceAccount": account},
            },
        )


def _private_subnets(vpc: ec2.IVpc) -> ec2.SubnetSelection:
    subnets = vpc.private_subnets or vpc.isolated_subnets
    if not subnets:
        raise ValueError(
            f"vpc={vpc.node.path}: the CDK knows no private subnets of it. A function in a public subnet "
            "reaches neither the internet nor any AWS service; add private or isolated subnets."
        )
    return ec2.SubnetSelection(subnets=subnets)


def _ids(subnets: Iterable[ec2.ISubnet]) -> set[str]:
    return {subnet.node.path for subnet in subnets}


def _short_name(service: Service) -> str:
    """Return the service's name without the region: ``sqs``, ``secretsmanager``, ``execute-api``."""
    if isinstance(service, ec2.InterfaceVpcEndpointAwsService):
        return service.short_name
    return service.name.rpartition(".")[2]  # com.amazonaws.<region, maybe a token>.s3
