"""A to-do list: items of each user behind a REST API, and files of each user in S3."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_cognito_identitypool as identitypool
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.web import RestApi, RestApiMethod, RestApiOptions

STRING = dynamodb.AttributeType.STRING


class Todo(cdk.Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        table = dynamodb.TableV2(
            self,
            "Items",
            partition_key=dynamodb.Attribute(name="owner", type=STRING),
            sort_key=dynamodb.Attribute(name="id", type=STRING),
        )
        users = cognito.UserPool(self, "Users", self_sign_up_enabled=True)
        client = users.add_client(
            "App",
            auth_flows=cognito.AuthFlow(user_srp=True, admin_user_password=True),
            disable_o_auth=True,
        )
        api = RestApi(
            self,
            "Api",
            code=Path(__file__).parent / "todo",
            handler="index.handler",
            function_options=FunctionOptions(
                timeout=cdk.Duration.seconds(10), environment={"TABLE_NAME": table.table_name}
            ),
            authorization=apigateway.CognitoUserPoolsAuthorizer(self, "User", cognito_user_pools=[users]),
            methods=[
                # The key of the cache holds the token, so a user never gets the answer of another one.
                RestApiMethod(path="/items/{id}", http_methods=("GET",), cache_ttl=cdk.Duration.minutes(1)),
                RestApiMethod(path="/items/{id}", http_methods=("PUT",)),
            ],
            options=RestApiOptions(cloud_watch_role=True),  # unless the account has this role
        )
        table.grant(api.function, "dynamodb:GetItem", "dynamodb:PutItem")

        files = s3.Bucket(self, "Files", enforce_ssl=True)
        provider = identitypool.UserPoolAuthenticationProvider(user_pool=users, user_pool_client=client)
        identities = identitypool.IdentityPool(
            self,
            "Identities",
            authentication_providers=identitypool.IdentityPoolAuthenticationProviders(user_pools=[provider]),
        )
        own = "${cognito-identity.amazonaws.com:sub}"
        identities.authenticated_role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                resources=[files.arn_for_objects(f"{own}/*")],
            )
        )
        for name, value in {
            "Url": api.url,
            "UserPoolId": users.user_pool_id,
            "Provider": users.user_pool_provider_name,
            "ClientId": client.user_pool_client_id,
            "IdentityPoolId": identities.identity_pool_id,
            "BucketName": files.bucket_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)


app = cdk.App()
Todo(app, "Todo")
app.synth()
