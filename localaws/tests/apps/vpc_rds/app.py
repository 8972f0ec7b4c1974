"""A database in isolated subnets of a network, and a function in private ones that knows its secret.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/rds
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_rds/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from constructs import Construct


class DatabaseStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=1,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC),
                ec2.SubnetConfiguration(name="App", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
                ec2.SubnetConfiguration(name="Data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        database = rds.DatabaseInstance(
            self,
            "Database",
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17),
            instance_type=ec2.InstanceType.of(ec2.InstanceClass.BURSTABLE4_GRAVITON, ec2.InstanceSize.MICRO),
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            credentials=rds.Credentials.from_generated_secret("shop"),
            database_name="shop",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Query",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="query.handler",
            code=lambda_.Code.from_asset("lambda"),
            vpc=vpc,
            timeout=cdk.Duration.seconds(20),
            environment={"SECRET_ARN": database.secret.secret_arn},
        )
        database.secret.grant_read(function)
        database.connections.allow_default_port_from(function)
        cdk.CfnOutput(self, "QueryName", value=function.function_name)
        cdk.CfnOutput(self, "Endpoint", value=database.db_instance_endpoint_address)


app = cdk.App()
DatabaseStack(app, "DatabaseStack")
app.synth()
