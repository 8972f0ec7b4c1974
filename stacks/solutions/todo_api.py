"""Deploys a to-do list for mobile clients: a REST API, users in Cognito, and a folder in S3 for each user."""

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_cognito_identitypool as identitypool
from aws_cdk import aws_dax as dax
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import grant_on_objects
from cdk_lambda_patterns.delivery.layers import DependenciesLayer
from cdk_lambda_patterns.web.http_api import RestApi, RestApiMethod, RestApiOptions
from stacks.architecture import Architecture
from stacks.notes import INDEX_NAME, NotesService, make_notes_service
from stacks.pattern_stack import PatternStack, switch
from stacks.users import make_user_pool

# In a policy, the id of the identity that the credentials were given to.
# https://docs.aws.amazon.com/cognito/latest/developerguide/role-based-access-control.html
_IDENTITY: Final = "${cognito-identity.amazonaws.com:sub}"

_DAX_TLS = 9111


def _on_table(service: str) -> list[str]:
    """The actions of the notes service, on its table or on the cache before it."""
    return [f"{service}:{action}" for action in ("GetItem", "PutItem", "DeleteItem", "Query")]


class TodoApiStack(PatternStack):
    """A user signs in once. The token opens the API; credentials for the token open a folder of the bucket.

    With the context ``dax`` set to ``true``, reads go through a DAX cluster, which costs by the hour.

    The context ``cloud-watch-role`` is ``false`` for an account in which API Gateway has its role for logs.

    A demonstration: deleting the stack deletes notes, files and users too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        code = pattern_source("solutions", "todo_api")
        network, layers = None, None
        if switch(self, "dax", default=False):
            network = PrivateNetwork(self, "Network")
            layers = [
                DependenciesLayer(self, "DaxClient", code=code / "dax", removal_policy=RemovalPolicy.DESTROY)
            ]
        notes = make_notes_service(
            Construct(self, "Notes"),
            code=code,
            handler="todo_api.handler.handler",
            description="Stores the notes of each user, behind a REST API",
            network=network,
            layers=layers,
        )
        if network is not None:
            self._accelerate(notes, network)
        users = make_user_pool(self)
        client = self._client(users, "Client")
        brief = self._client(users, "BriefClient", validity=Duration.minutes(5))
        rest = self._make_api(notes, users)
        files = make_bucket(self, "Files", versioned=False, removal_policy=RemovalPolicy.DESTROY)
        identities = self._make_identities(users, client, files)
        self.output("Url", rest.url)
        self.output("FunctionName", notes.function.function_name)
        self.output("NotesTableName", notes.table.table_name)
        self.output("BucketName", files.bucket_name)
        self.output("UserPoolId", users.user_pool_id)
        self.output("UserPoolProvider", users.user_pool_provider_name)
        self.output("ClientId", client.user_pool_client_id)
        self.output("BriefClientId", brief.user_pool_client_id)
        self.output("IdentityPoolId", identities.identity_pool_id)
        self.output("UserRoleArn", identities.authenticated_role.role_arn)

    def _accelerate(self, notes: NotesService, network: PrivateNetwork) -> None:
        """Put a DAX cluster between the function and the table.

        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DAX.create-cluster.html
        """
        group = ec2.SecurityGroup(
            self, "DaxSecurityGroup", vpc=network.vpc, description="DAX: inbound from the function only"
        )
        notes.function.connections.allow_to(group, ec2.Port.tcp(_DAX_TLS), "DAX, with TLS")
        role = iam.Role(self, "DaxRole", assumed_by=iam.ServicePrincipal("dax.amazonaws.com"))
        table = notes.table.table_arn
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["dynamodb:DescribeTable", *_on_table("dynamodb")],
            resource_arns=[table, f"{table}/index/{INDEX_NAME}"],
        )
        subnets = [subnet.subnet_id for subnet in network.vpc.isolated_subnets]
        cluster = dax.CfnCluster(
            self,
            "Dax",
            iam_role_arn=role.role_arn,
            node_type="dax.t3.small",
            replication_factor=len(network.availability_zones),
            cluster_endpoint_encryption_type="TLS",
            sse_specification=dax.CfnCluster.SSESpecificationProperty(sse_enabled=True),
            security_group_ids=[group.security_group_id],
            subnet_group_name=dax.CfnSubnetGroup(self, "DaxSubnets", subnet_ids=subnets).ref,
        )
        iam.Grant.add_to_principal(
            grantee=notes.function.execution_role, actions=_on_table("dax"), resource_arns=[cluster.attr_arn]
        )
        notes.function.add_environment("DAX_ENDPOINT", cluster.attr_cluster_discovery_endpoint_url)

    def _client(
        self, users: cognito.UserPool, id: str, *, validity: Duration | None = None
    ) -> cognito.UserPoolClient:
        return users.add_client(
            id,
            access_token_validity=validity,
            id_token_validity=validity,
            auth_flows=cognito.AuthFlow(user_srp=True, admin_user_password=True),
            disable_o_auth=True,  # otherwise the CDK allows the implicit grant
            prevent_user_existence_errors=True,
        )

    def _make_api(self, notes: NotesService, users: cognito.UserPool) -> RestApi:
        return RestApi(
            self,
            "Todo",
            function=notes.function,
            authorization=apigateway.CognitoUserPoolsAuthorizer(
                self, "User", cognito_user_pools=[users], results_cache_ttl=Duration.seconds(0)
            ),
            methods=[
                RestApiMethod(path="/notes", http_methods=("GET",)),
                RestApiMethod(path="/notes/{name}", http_methods=("GET",), cache_ttl=Duration.minutes(1)),
                RestApiMethod(path="/notes/{name}", http_methods=("PUT", "DELETE")),
            ],
            options=RestApiOptions(
                throttle=apigateway.ThrottleSettings(rate_limit=50, burst_limit=25),
                cloud_watch_role=switch(self, "cloud-watch-role", default=True),
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _make_identities(
        self, users: cognito.UserPool, client: cognito.UserPoolClient, files: s3.Bucket
    ) -> identitypool.IdentityPool:
        provider = identitypool.UserPoolAuthenticationProvider(user_pool=users, user_pool_client=client)
        identities = identitypool.IdentityPool(
            self,
            "Identities",
            authentication_providers=identitypool.IdentityPoolAuthenticationProviders(user_pools=[provider]),
        )
        role = identities.authenticated_role
        grant_on_objects(
            role,
            files,
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            prefix=f"{_IDENTITY}/",
            reason="Each user has all keys below the id of the own identity, and no other key.",
        )
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["s3:ListBucket"],
            resource_arns=[files.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{_IDENTITY}/*"}},
        )
        return identities
