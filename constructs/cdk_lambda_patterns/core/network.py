"""A network without a way in: functions in private subnets, and the AWS services that they may reach.

Two kinds. Without NAT the subnets are isolated: nothing gets out but through VPC endpoints, one for each
service that a function is given. With NAT everything outside can be reached, and each gateway costs money
while nothing happens.
"""

from collections.abc import Iterable

from aws_cdk import Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_range
from cdk_lambda_patterns.core.permissions import acknowledge

# What a function may reach: S3 and DynamoDB through gateway endpoints, which cost nothing, the rest through
# interface endpoints. https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
Service = ec2.InterfaceVpcEndpointAwsService | ec2.GatewayVpcEndpointAwsService
_GATEWAY_SERVICES = ("s3", "dynamodb")

_HTTPS = ec2.Port.tcp(443)


class PrivateNetwork(Construct):
    """A VPC, given or made, with private subnets for functions and endpoints for the services they use.

    It builds a VPC unless one is given, and an endpoint for a service when a function asks for it
    (``services`` of ``PrivateFunction``), once for all functions. An interface endpoint admits the security
    groups of those functions alone. An endpoint's policy lets principals of this account reach resources of
    this account, so that the way out is none for somebody else's credentials or to somebody else's bucket.

    Args:
        vpc: The VPC. Default: a new one.
        vpc_subnets: Which subnets of a given VPC; never public ones. Default: those with a way out by NAT,
            and if there are none, the isolated ones.
        nat_gateways: How many NAT gateways a new VPC gets, 0 to ``max_azs``. Default: 0, isolated subnets.
            One is a point of failure shared by all zones; one a zone is not.
        max_azs: How many availability zones a new VPC spans, 2 to 6. RDS and its proxy need two.

    Raises:
        ValueError: A value is not allowed, or a subnet is public.

    Attributes:
        vpc (IVpc): The network.
        subnets (SubnetSelection): The subnets for functions, and for what they reach.
        endpoints (dict[str, IVpcEndpoint]): The endpoints made here, by the short name of the service.

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
        check_range("max_azs", max_azs, 2, 6, unit="zones", allows="RDS needs two; a network here has")
        check_range("nat_gateways", nat_gateways, 0, max_azs, unit="", allows="one for each zone is enough:")
        if vpc is None and vpc_subnets is not None:
            raise ValueError("vpc_subnets without vpc: give the vpc that they are of as well.")
        if vpc is not None and nat_gateways:
            raise ValueError(
                f"nat_gateways={nat_gateways} with vpc: the given network has the gateways that it has; "
                "leave nat_gateways out, and choose subnets with a way out by vpc_subnets."
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
                "vpc_subnets: a public subnet is among them. Lambda gives a function no public address, so "
                "in a public subnet it reaches neither the internet nor any AWS service without an endpoint; "
                "choose PRIVATE_WITH_EGRESS (NAT) or PRIVATE_ISOLATED subnets."
            )
        self._has_way_out = bool(nat_gateways) or (
            vpc is not None and _ids(selected.subnets) <= _ids(vpc.private_subnets)
        )

    def make_security_group(self, scope: Construct, id: str, description: str) -> ec2.SecurityGroup:
        """Make a security group that lets nothing in and nothing out.

        Args:
            scope: The parent, so that the group goes with what it protects.
            id: The id under the parent.
            description: What it protects; EC2 never changes it without replacing the group.
        """
        return ec2.SecurityGroup(scope, id, vpc=self.vpc, description=description, allow_all_outbound=False)

    def open_ways(self, group: ec2.ISecurityGroup, services: Iterable[Service]) -> None:
        """Let a security group reach these services, and with NAT everything that speaks HTTPS.

        Args:
            group: The security group of a function.
            services: What it reaches. An endpoint that is not there yet is made.

        Raises:
            ValueError: S3 or DynamoDB is to get an interface endpoint, which costs and brings nothing here.
        """
        by_address = self._has_way_out
        for service in services:
            endpoint = self._endpoint(service)
            if isinstance(endpoint, ec2.InterfaceVpcEndpoint):
                # Asked of the function's side: between two stacks, both rules then stand in the function's.
                group.connections.allow_to(endpoint, _HTTPS, "HTTPS from a function to the endpoint")
            else:
                by_address = True
        if by_address:
            # The addresses of S3 and DynamoDB are a prefix list, whose id only a look-up in the account
            # knows. Where there is no NAT, the route table has no other way out than to these.
            group.connections.allow_to_any_ipv4(_HTTPS, "HTTPS, as far as the route table leads")

    def _make_vpc(self, nat_gateways: int, max_azs: int) -> ec2.Vpc:
        private = ec2.SubnetType.PRIVATE_WITH_EGRESS if nat_gateways else ec2.SubnetType.PRIVATE_ISOLATED
        subnets = [ec2.SubnetConfiguration(name="Private", subnet_type=private)]
        if nat_gateways:
            # For the gateways and nothing else, so it is small and gives nobody a public address by itself.
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
            # Nothing uses the default group, and closing it takes a custom resource with a role of its own.
            restrict_default_security_group=False,
        )
        acknowledge(
            vpc,
            {
                "AwsSolutions-VPC7": "Flow logs cost by the gigabyte and are the choice of who owns the "
                "account: network.vpc.add_flow_log(...) adds them."
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
                f"services: an interface endpoint for {name} costs by the hour, its gateway endpoint costs "
                f"nothing; give ec2.GatewayVpcEndpointAwsService.{name.upper()}."
            )
        group = self.make_security_group(
            self, f"{name}-security-group", f"Endpoint of {name}: only functions that were given it"
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
        # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html. Not every service
        # tells whose the resource is; where it does, it must be ours.
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
            f"vpc={vpc.node.path}: it has no private subnets that the CDK knows of. A function in a public "
            "subnet reaches neither the internet nor any AWS service; add private or isolated subnets."
        )
    return ec2.SubnetSelection(subnets=subnets)


def _ids(subnets: Iterable[ec2.ISubnet]) -> set[str]:
    return {subnet.node.path for subnet in subnets}


def _short_name(service: Service) -> str:
    """The service's name without the region: ``sqs``, ``secretsmanager``, ``execute-api``."""
    if isinstance(service, ec2.InterfaceVpcEndpointAwsService):
        return service.short_name
    name = service.name
    # A region that is not known yet stands in the name as a token; what follows it is the service.
    assert not Token.is_unresolved(name.rpartition(".")[2])
    return name.rpartition(".")[2]
