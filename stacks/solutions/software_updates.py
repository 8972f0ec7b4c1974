"""Deploys software updates: CloudFront before an internal load balancer with a fleet that stays as it is."""

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import check_choice
from cdk_lambda_patterns.core.names import unique_name
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import acknowledge, grant_on_bucket, grant_on_objects
from cdk_lambda_patterns.edge.cloudfront_functions import CloudFrontFunctions
from cdk_lambda_patterns.observability.service_hooks import CustomResourceFunction
from stacks.architecture import Architecture
from stacks.distribution import acknowledge_demonstration
from stacks.pattern_stack import PatternStack, context

_PORT: Final = 8080

# The fleet that was there before CloudFront: files of a bucket, served by the web server of Python. The
# manifest is copied first and shown last, so a machine never names a release that it does not have. It is
# healthy after the first copy, also of a bucket without a manifest.
_SYNC: Final = """\
set -e
mkdir -p /srv/updates
list="aws s3api list-objects-v2 --no-paginate --query KeyCount"
manifests=$($list --bucket "$BUCKET" --prefix manifest.json)
if [ "$manifests" != 0 ]; then aws s3 cp --only-show-errors "s3://$BUCKET/manifest.json" /srv/next; fi
aws s3 sync --only-show-errors "s3://$BUCKET/releases" /srv/updates/releases
if [ -e /srv/next ]; then mv /srv/next /srv/updates/manifest.json; fi
echo ok > /srv/updates/health
"""

# Files and nothing else: a list of the folder would name releases that are not announced.
_SERVER: Final = f"""\
import functools, os, urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

class Files(SimpleHTTPRequestHandler):
    def send_head(self):
        hidden = "/." in urllib.parse.unquote(self.path)
        if hidden or not os.path.isfile(self.translate_path(self.path)):
            return self.send_error(404)
        return super().send_head()

if __name__ == "__main__":
    serve = functools.partial(Files, directory="/srv/updates")
    ThreadingHTTPServer(("", {_PORT}), serve).serve_forever()
"""

# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/origin-shield.html
_SHIELDS: Final = (
    *("us-east-1", "us-east-2", "us-west-2", "sa-east-1", "eu-central-1", "eu-west-1", "eu-west-2"),
    *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "me-central-1"),
)


class SoftwareUpdatesStack(PatternStack):
    """Versioned files stay in the cache for a year; the manifest names the current one, and is never fresh.

    CloudFront is the only way in: the load balancer has private addresses, and its security group admits the
    VPC origin of the distribution. The context ``origin-shield-region`` is the Region of Origin Shield, for a
    stack in a Region that has none. Default: the Region of the stack.

    A demonstration: deleting the stack deletes the releases too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        releases = make_bucket(self, "Releases", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        vpc = PrivateNetwork(self, "Network").vpc
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        fleet = self._make_fleet(vpc, releases)
        balancer = self._make_balancer(vpc, fleet)
        distribution = self._make_distribution(self._make_origin(vpc, balancer))
        self._admit_cloudfront(vpc, balancer, distribution)
        self.output("DomainName", distribution.distribution_domain_name)
        self.output("DistributionId", distribution.distribution_id)
        self.output("BucketName", releases.bucket_name)
        self.output("FleetName", fleet.auto_scaling_group_name)
        self.output("BalancerName", balancer.load_balancer_dns_name)

    def _make_fleet(self, vpc: ec2.IVpc, releases: s3.Bucket) -> autoscaling.AutoScalingGroup:
        role = iam.Role(self, "FleetRole", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        self.output("FleetRoleArn", role.role_arn)
        reason = "Each machine has a copy of all releases."
        grant_on_objects(role, releases, "s3:GetObject", reason=reason)
        grant_on_bucket(role, releases, "s3:ListBucket")
        commands = ec2.UserData.for_linux()
        commands.add_commands(
            f"cat > /srv/sync.sh <<'END'\n{_SYNC}END",
            f"cat > /srv/server.py <<'END'\n{_SERVER}END",
            f"export BUCKET={releases.bucket_name}",
            "systemd-run --collect --property=Restart=always --property=RestartSec=5 --setenv=BUCKET "
            "sh /srv/sync.sh",
            "systemd-run --collect --property=Restart=always --property=DynamicUser=yes "
            "python3 /srv/server.py",
        )
        template = ec2.LaunchTemplate(
            self,
            "Machine",
            instance_type=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.SMALL),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
            role=role,
            security_group=ec2.SecurityGroup(
                self,
                "FleetSecurityGroup",
                vpc=vpc,
                description="Machines: inbound from the load balancer only",
            ),
            user_data=commands,
            require_imdsv2=True,
            detailed_monitoring=True,
            block_devices=[
                ec2.BlockDevice(device_name="/dev/xvda", volume=ec2.BlockDeviceVolume.ebs(8, encrypted=True))
            ],
        )
        fleet = autoscaling.AutoScalingGroup(
            self,
            "Fleet",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            launch_template=template,
            min_capacity=2,
            max_capacity=4,
            health_checks=autoscaling.HealthChecks.with_additional_checks(
                additional_types=[autoscaling.AdditionalHealthCheckType.ELB], grace_period=Duration.minutes(5)
            ),
        )
        acknowledge(fleet, {"AwsSolutions-AS3": "Notifications of scaling are the account owner's choice."})
        return fleet

    def _make_balancer(
        self, vpc: ec2.IVpc, fleet: autoscaling.AutoScalingGroup
    ) -> elbv2.ApplicationLoadBalancer:
        balancer = elbv2.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=vpc,
            internet_facing=False,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            drop_invalid_header_fields=True,
        )
        acknowledge(
            balancer, {"AwsSolutions-ELB2": "Access logs are the account owner's choice (a log bucket)."}
        )
        listener = balancer.add_listener("Http", port=80, open=False)
        listener.add_targets(
            "Fleet",
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=_PORT,
            targets=[fleet],
            health_check=elbv2.HealthCheck(path="/health"),
            deregistration_delay=Duration.seconds(30),
        )
        return balancer

    def _make_origin(self, vpc: ec2.IVpc, balancer: elbv2.ApplicationLoadBalancer) -> cloudfront.IOrigin:
        """Return the load balancer as a VPC origin, behind Origin Shield.

        The VPC needs an internet gateway, which says that it may get traffic from the internet. No route
        leads to it.
        """
        gateway = ec2.CfnInternetGateway(self, "Gateway")
        attached = ec2.CfnVPCGatewayAttachment(
            self, "Attached", vpc_id=vpc.vpc_id, internet_gateway_id=gateway.attr_internet_gateway_id
        )
        origin = cloudfront.VpcOrigin(
            self,
            "Origin",
            endpoint=cloudfront.VpcOriginEndpoint.application_load_balancer(balancer),
            vpc_origin_name=unique_name(self, "Origin", longest=64),
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTP_ONLY,
        )
        origin.node.add_dependency(attached)
        code = r"[a-z]{2}-[a-z]+-\d"
        region = context(
            self, "origin-shield-region", code, "a Region with Origin Shield, such as 'eu-west-1'"
        )
        shield = region or self.region
        check_choice(
            "-c origin-shield-region", shield, _SHIELDS
        )  # of a Region known only later: by CloudFront
        return origins.VpcOrigin.with_vpc_origin(
            origin, domain_name=balancer.load_balancer_dns_name, origin_shield_region=shield
        )

    def _make_distribution(self, origin: cloudfront.IOrigin) -> cloudfront.Distribution:
        code = pattern_source("solutions", "software_updates") / "viewer_response.js"
        functions = CloudFrontFunctions(
            self, "Edge", viewer_response=cloudfront.FunctionCode.from_file(file_path=str(code))
        )

        def behavior(cache_policy: cloudfront.ICachePolicy) -> cloudfront.BehaviorOptions:
            return cloudfront.BehaviorOptions(
                origin=origin,
                cache_policy=cache_policy,
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                function_associations=functions.associations,
            )

        year, none = Duration.days(365), Duration.seconds(0)
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            # Every request asks the origin whether the manifest has changed; if the origin fails, the last
            # one is served. A maximum of 0 would switch the cache off, and with it that.
            default_behavior=behavior(self._cache_policy("Manifest", none, Duration.seconds(1))),
            additional_behaviors={
                "/releases/*": behavior(self._cache_policy("Release", year, year, compressed=False))
            },
            # A file that a machine does not have yet is asked for again, and not missing for 10 seconds.
            error_responses=[cloudfront.ErrorResponse(http_status=404, ttl=none)],
        )
        acknowledge_demonstration(distribution)
        return distribution

    def _cache_policy(
        self, name: str, default: Duration, longest: Duration, compressed: bool = True
    ) -> cloudfront.CachePolicy:
        """Make a policy without headers, cookies and query strings in the key: a path is a file.

        With compression, Accept-Encoding is in the key, so that a path is up to four objects. Releases are
        compressed already.
        """
        return cloudfront.CachePolicy(
            self,
            name,
            cache_policy_name=unique_name(self, name, longest=128),
            min_ttl=Duration.seconds(0),
            default_ttl=default,
            max_ttl=longest,
            enable_accept_encoding_gzip=compressed,
            enable_accept_encoding_brotli=compressed,
        )

    def _admit_cloudfront(
        self,
        vpc: ec2.IVpc,
        balancer: elbv2.ApplicationLoadBalancer,
        distribution: cloudfront.Distribution,
    ) -> None:
        """Admit the VPC origins of this VPC, and nothing else, to the load balancer.

        CloudFront makes their security group, and CloudFormation does not know its id.
        """
        finder = CustomResourceFunction(
            self,
            "Finder",
            code=pattern_source("solutions", "software_updates"),
            handler="software_updates.handler.handler",
            removal_policy=RemovalPolicy.DESTROY,
        )
        assert isinstance(finder.function, HardenedFunction)
        finder.function.execution_role.add_to_policy(
            iam.PolicyStatement(actions=["ec2:DescribeSecurityGroups"], resources=["*"])
        )
        found = finder.add_resource(
            "Group", resource_type="Custom::VpcOriginsSecurityGroup", properties={"VpcId": vpc.vpc_id}
        )
        found.node.add_dependency(distribution)
        group = ec2.SecurityGroup.from_security_group_id(
            self, "CloudFront", found.get_att_string("SecurityGroupId")
        )
        balancer.connections.allow_from(group, ec2.Port.HTTP, "CloudFront: VPC origins")
        self.output("FinderName", finder.function.function_name)
        self.output("AnswersName", finder.answering_function.function_name)
