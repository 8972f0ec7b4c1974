"""Software updates: CloudFront before an internal load balancer with an Auto Scaling group."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam

from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.observability.service_hooks import CustomResourceFunction

# Put here what starts your web server. This one has an empty folder, which is healthy. It lists folders, with
# the names of releases that are not announced yet: yours should not.
COMMANDS = ["mkdir /srv/updates", "nohup python3 -m http.server 8080 --directory /srv/updates &"]


class Updates(cdk.Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        vpc = PrivateNetwork(self, "Network").vpc
        private = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        machines = ec2.UserData.for_linux()
        machines.add_commands(*COMMANDS)
        fleet = autoscaling.AutoScalingGroup(
            self,
            "Fleet",
            vpc=vpc,
            vpc_subnets=private,
            instance_type=ec2.InstanceType("t4g.small"),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
            user_data=machines,
            require_imdsv2=True,
            min_capacity=2,
            max_capacity=4,
        )
        balancer = elbv2.ApplicationLoadBalancer(
            self, "Balancer", vpc=vpc, vpc_subnets=private, internet_facing=False
        )
        balancer.add_listener("Http", port=80, open=False).add_targets(
            "Fleet",
            port=8080,
            protocol=elbv2.ApplicationProtocol.HTTP,
            targets=[fleet],
            health_check=elbv2.HealthCheck(path="/", healthy_http_codes="200"),
        )

        # A VPC origin needs an internet gateway, to which no route has to lead.
        gateway = ec2.CfnInternetGateway(self, "Gateway")
        attached = ec2.CfnVPCGatewayAttachment(
            self, "Attached", vpc_id=vpc.vpc_id, internet_gateway_id=gateway.ref
        )
        origin = cloudfront.VpcOrigin(
            self,
            "Origin",
            endpoint=cloudfront.VpcOriginEndpoint.application_load_balancer(balancer),
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTP_ONLY,
        )
        origin.node.add_dependency(attached)
        distribution = self.distribution(
            origins.VpcOrigin.with_vpc_origin(
                origin,
                domain_name=balancer.load_balancer_dns_name,
                origin_shield_region=self.region,  # or the nearest one that has Origin Shield
            )
        )

        finder = CustomResourceFunction(self, "Finder", code=Path(__file__).parent / "finder")
        finder.function.add_to_role_policy(
            iam.PolicyStatement(actions=["ec2:DescribeSecurityGroups"], resources=["*"])
        )
        found = finder.add_resource("Group", properties={"VpcId": vpc.vpc_id})
        found.node.add_dependency(distribution)
        admitted = ec2.SecurityGroup.from_security_group_id(self, "CloudFront", found.get_att_string("Id"))
        balancer.connections.allow_from(admitted, ec2.Port.HTTP)
        cdk.CfnOutput(self, "DomainName", value=distribution.distribution_domain_name)
        cdk.CfnOutput(self, "FleetName", value=fleet.auto_scaling_group_name)

    def distribution(self, origin):
        def behavior(name, default, longest):
            policy = cloudfront.CachePolicy(
                self, name, min_ttl=cdk.Duration.seconds(0), default_ttl=default, max_ttl=longest
            )
            https = cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS
            return cloudfront.BehaviorOptions(
                origin=origin, cache_policy=policy, viewer_protocol_policy=https
            )

        year = cdk.Duration.days(365)
        return cloudfront.Distribution(
            self,
            "Distribution",
            default_behavior=behavior("Manifest", cdk.Duration.seconds(0), cdk.Duration.seconds(1)),
            additional_behaviors={"/releases/*": behavior("Release", year, year)},
            error_responses=[cloudfront.ErrorResponse(http_status=404, ttl=cdk.Duration.seconds(0))],
        )


app = cdk.App()
Updates(app, "Updates")
app.synth()
