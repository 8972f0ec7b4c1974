"""Functions in private subnets → VPC endpoints, or NAT → AWS services. Nothing can connect from outside.

Without NAT the subnets are isolated: functions reach AWS services through VPC endpoints only, one for each
service. With NAT they reach the whole internet, and each NAT gateway costs money even when idle.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from aws_cdk import Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.regions import check_region

# S3 and DynamoDB have gateway endpoints, which are free; all other services have interface endpoints.
# https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
Service = ec2.InterfaceVpcEndpointAwsService | ec2.GatewayVpcEndpointAwsService
Endpoint: TypeAlias = ec2.IInterfaceVpcEndpoint | ec2.IGatewayVpcEndpoint
_GATEWAY_SERVICES = ("s3", "dynamodb")

_HTTPS = ec2.Port.tcp(443)

# A DB subnet group and RDS Proxy need two: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
_AVAILABILITY_ZONES = Limit("PrivateNetwork", 2, 6, "Availability Zones", whole=True)


@check_types
class PrivateNetwork(Construct):
    """A new or existing VPC with private subnets for functions, and endpoints for the services they use.

    It builds a VPC unless one is given, and an endpoint for each service that a function uses (``services``
    of ``PrivateFunction``), once for all functions. An interface endpoint accepts connections from the
    security groups of those functions only. The policy of each endpoint allows principals of this account to
    use resources of this account: another account's credentials and buckets are of no use in this network.
    An endpoint that the app has already made in the VPC, or that is in ``endpoints``, is used as it is, and
    its security groups allow the functions.

    Args:
        vpc: The VPC. Default: a new one.
        vpc_subnets: Which subnets of an existing VPC; not public ones. Default: those with NAT, or the
            isolated ones if there are none.
        nat_gateways: How many NAT gateways a new VPC gets, 0 to ``max_azs``. Default: 0, isolated subnets.
            With only one, all Availability Zones depend on that gateway's.
        nat_gateway_provider: What translates addresses in a new VPC. Default: NAT gateways.
            ``ec2.NatProvider.instance_v2`` makes instances, which cost a tenth, and need updates of yours.
        max_azs: How many Availability Zones a new VPC spans, 2 to 6. RDS and RDS Proxy need two.
        endpoints: Endpoints that an existing VPC has and the app did not make, by the short name of the
            service: ``{"s3": ec2.GatewayVpcEndpoint.from_gateway_vpc_endpoint_id(...)}``. An interface
            endpoint is imported with its security groups. EC2 refuses a second one.
        ipv6_allowed_for_dual_stack: Whether functions use IPv6 too. A new VPC is dual-stack then, and with
            NAT an egress-only internet gateway, which is free, carries IPv6. An existing one must have
            dual-stack subnets.

    Raises:
        ValueError: A value is not allowed, a subnet is public, or the VPC lacks what an endpoint needs.

    Attributes:
        vpc (IVpc): The VPC.
        subnets (SubnetSelection): The private subnets, for functions, databases and endpoints.
        availability_zones (frozenset[str]): Their Availability Zones.
        has_nat (bool): Whether the subnets have a route to NAT, and so to every service without an endpoint.
        ipv6_allowed_for_dual_stack (bool): Whether functions use IPv6 too.
        endpoints (dict[str, IVpcEndpoint]): The endpoints that functions use, by the short name of the
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
        nat_gateway_provider: ec2.NatProvider | None = None,
        max_azs: int = 2,
        endpoints: Mapping[str, Endpoint] | None = None,
        ipv6_allowed_for_dual_stack: bool = False,
    ) -> None:
        for name, number in (("max_azs", max_azs), ("nat_gateways", nat_gateways)):
            if Token.is_unresolved(number):
                raise ValueError(
                    f"{name}: it is known only when the stack is deployed, and it decides how many resources "
                    "the template has; give a number."
                )
        _AVAILABILITY_ZONES.check("max_azs", max_azs)
        if not 0 <= nat_gateways <= max_azs or nat_gateways % 1 or isinstance(nat_gateways, bool):
            raise ValueError(
                f"nat_gateways={nat_gateways}: at most one NAT gateway per Availability Zone "
                f"(max_azs={max_azs}); give 0 to {max_azs}."
            )
        if nat_gateway_provider is not None and not nat_gateways:
            raise ValueError(
                "nat_gateway_provider without nat_gateways: say how many, such as nat_gateways=1."
            )
        for name, value in (("vpc_subnets", vpc_subnets), ("endpoints", endpoints)):
            if vpc is None and value is not None:
                raise ValueError(f"{name} without vpc: give the VPC that they are in as well.")
        if vpc is not None and nat_gateways:
            raise ValueError(
                f"nat_gateways={nat_gateways} cannot be combined with vpc, which has its own gateways; leave "
                "nat_gateways out, and choose subnets with NAT by vpc_subnets."
            )
        check_region(scope, "Functions run in a VPC of their own Region only", {"vpc": vpc})
        super().__init__(scope, id)
        ip_protocol = ec2.IpProtocol.DUAL_STACK if ipv6_allowed_for_dual_stack else None
        self.vpc = vpc or self._make_vpc(nat_gateways, nat_gateway_provider, max_azs, ip_protocol)
        self.subnets = vpc_subnets or _private_subnets(self.vpc)
        self.endpoints: dict[str, Endpoint] = dict(endpoints or {})
        self.ipv6_allowed_for_dual_stack = ipv6_allowed_for_dual_stack
        self._provider = nat_gateway_provider
        self._is_own_vpc = vpc is None

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
        if ipv6_allowed_for_dual_stack:
            check_dual_stack("ipv6_allowed_for_dual_stack", selected.subnets)
        self._subnets = selected.subnets
        self.availability_zones = frozenset(selected.availability_zones)
        self.has_nat = bool(nat_gateways) or (
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
            services: The services. An endpoint is made for each that the VPC does not have yet.

        Raises:
            ValueError: An interface endpoint is asked for where a gateway endpoint, which is free, will do;
                or the VPC does not fit it.
        """
        any_address = self.has_nat
        for service in services:
            group = _security_group(_short_name(service), self._endpoint(service))
            if group is not None:
                # Called on the client, so that both rules are in the client's stack if there are two stacks.
                client.connections.allow_to(group, _HTTPS, "HTTPS from a function to the endpoint")
            else:
                any_address = True
        if isinstance(self._provider, ec2.NatInstanceProviderV2):
            client.connections.allow_to(self._provider, _HTTPS, "HTTPS from a function to the NAT instance")
        if any_address:
            # The addresses of S3 and DynamoDB are in prefix lists, whose ids need a look-up in the account.
            # Without NAT, the route table has no other routes out of the VPC anyway.
            client.connections.allow_to_any_ipv4(_HTTPS, "HTTPS, limited by the route table")
            if self.ipv6_allowed_for_dual_stack:
                client.connections.allow_to(
                    ec2.Peer.any_ipv6(), _HTTPS, "HTTPS over IPv6, limited by the route table"
                )

    def _make_vpc(
        self,
        nat_gateways: int,
        provider: ec2.NatProvider | None,
        max_azs: int,
        ip_protocol: ec2.IpProtocol | None,
    ) -> ec2.Vpc:
        private = ec2.SubnetType.PRIVATE_WITH_EGRESS if nat_gateways else ec2.SubnetType.PRIVATE_ISOLATED
        subnets = [ec2.SubnetConfiguration(name="Private", subnet_type=private)]
        if nat_gateways:
            # For NAT only: small. A NAT instance gets its public IP address from the subnet.
            public = ec2.SubnetConfiguration(
                name="Public",
                subnet_type=ec2.SubnetType.PUBLIC,
                cidr_mask=28,
                map_public_ip_on_launch=provider is not None,
            )
            subnets.append(public)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=max_azs,
            nat_gateways=nat_gateways,
            nat_gateway_provider=provider,
            ip_protocol=ip_protocol,
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

    def _endpoint(self, service: Service) -> Endpoint:
        name = _short_name(service)
        if name not in self.endpoints:
            self.endpoints[name] = self._found_endpoint(service) or self._make_endpoint(name, service)
        return self.endpoints[name]

    def _found_endpoint(self, service: Service) -> Endpoint | None:
        """Return the endpoint of the service that this app has already made: EC2 refuses another one."""
        name = Stack.of(self).resolve(service.name)
        gateway = isinstance(service, ec2.GatewayVpcEndpointAwsService)
        tables = _route_tables(self._subnets) if gateway else set()
        # In a VPC that was given, it may have been made anywhere in the app.
        searched = self.vpc if self._is_own_vpc else self.vpc.node.root
        for made in searched.node.find_all():
            if not isinstance(made, ec2.CfnVPCEndpoint) or made.vpc_id != self.vpc.vpc_id:
                continue
            fits = tables <= set(made.route_table_ids or ()) if gateway else bool(made.private_dns_enabled)
            scope = made.node.scope
            if (
                fits
                and isinstance(scope, ec2.InterfaceVpcEndpoint | ec2.GatewayVpcEndpoint)
                and Stack.of(made).resolve(made.service_name) == name
            ):
                return scope
        return None

    def _make_endpoint(self, name: str, service: Service) -> Endpoint:
        endpoint: ec2.InterfaceVpcEndpoint | ec2.GatewayVpcEndpoint
        if isinstance(service, ec2.InterfaceVpcEndpointAwsService):
            endpoint = self._make_interface_endpoint(name, service)
        else:
            endpoint = self._make_gateway_endpoint(name, service)
        endpoint.add_to_policy(self._endpoint_statement())
        return endpoint

    def _make_interface_endpoint(
        self, name: str, service: ec2.InterfaceVpcEndpointAwsService
    ) -> ec2.InterfaceVpcEndpoint:
        if name in _GATEWAY_SERVICES:
            raise ValueError(
                f"services: an interface endpoint for {name} is charged by the hour, a gateway endpoint is "
                f"free; give ec2.GatewayVpcEndpointAwsService.{name.upper()}."
            )
        vpc = self.vpc
        if isinstance(vpc, ec2.Vpc) and not (vpc.dns_support_enabled and vpc.dns_hostnames_enabled):
            # https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
            raise ValueError(
                f"vpc={vpc.node.path}: the endpoint for {name} needs private DNS; give the VPC "
                "enable_dns_support=True and enable_dns_hostnames=True."
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


def _security_group(name: str, endpoint: Endpoint) -> ec2.IConnectable | None:
    """Return an interface endpoint, which has security groups; ``None`` for a gateway endpoint."""
    connections = getattr(endpoint, "connections", None)
    if connections is None:
        return None
    if not connections.security_groups:
        raise ValueError(
            f"endpoints: the endpoint for {name} has no security groups, so nothing would allow functions to "
            "connect to it; give security_groups where you import it."
        )
    return cast(ec2.IConnectable, endpoint)


def _route_tables(subnets: Iterable[ec2.ISubnet]) -> set[str]:
    try:
        return {subnet.route_table.route_table_id for subnet in subnets}
    except RuntimeError as error:  # jsii's, about a value that is missing
        raise ValueError(
            "vpc: it was imported without the route tables of its subnets, which lead to a gateway endpoint; "
            "give private_subnet_route_table_ids or isolated_subnet_route_table_ids, or name the endpoint "
            "that the VPC has in endpoints."
        ) from error


def check_dual_stack(argument: str, subnets: Iterable[ec2.ISubnet]) -> None:
    """Check that subnets have IPv6 addresses, as far as the app knows.

    Args:
        argument: The argument that needs them.
        subnets: The subnets.

    Raises:
        ValueError: One has none.
    """
    for subnet in subnets:
        made = subnet.node.default_child
        if isinstance(made, ec2.CfnSubnet) and made.ipv6_cidr_block is None:
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-ipv6
            raise ValueError(
                f"{argument}: the subnet {subnet.node.path} has no IPv6 addresses; give the "
                "VPC ip_protocol=ec2.IpProtocol.DUAL_STACK."
            )


def _ids(subnets: Iterable[ec2.ISubnet]) -> set[str]:
    return {subnet.node.path for subnet in subnets}


def _short_name(service: Service) -> str:
    """Return the service's name without the region: ``sqs``, ``secretsmanager``, ``execute-api``."""
    if isinstance(service, ec2.InterfaceVpcEndpointAwsService):
        return service.short_name
    return service.name.rpartition(".")[2]  # com.amazonaws.<region, maybe a token>.s3
