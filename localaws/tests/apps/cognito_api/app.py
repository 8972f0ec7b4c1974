"""A REST API for users of a user pool only, and an HTTP API with the same users by their JWT.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_apigateway/CognitoUserPoolsAuthorizer.html
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_apigatewayv2_authorizers/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_authorizers import HttpUserPoolAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration

CODE = """
import json
def handler(event, context):
    authorizer = event["requestContext"]["authorizer"]
    claims = authorizer.get("claims") or authorizer["jwt"]["claims"]
    return {"statusCode": 200, "body": json.dumps({"email": claims["email"]})}
"""

app = cdk.App()
stack = cdk.Stack(app, "CognitoApi")
pool = cognito.UserPool(
    stack,
    "Users",
    self_sign_up_enabled=True,
    sign_in_aliases=cognito.SignInAliases(email=True),
    auto_verify=cognito.AutoVerifiedAttrs(email=True),
    password_policy=cognito.PasswordPolicy(min_length=12, require_symbols=False),
    standard_attributes=cognito.StandardAttributes(
        fullname=cognito.StandardAttribute(required=False, mutable=True)
    ),
    removal_policy=cdk.RemovalPolicy.DESTROY,
)
client = pool.add_client("Web", auth_flows=cognito.AuthFlow(user_password=True, user_srp=True))
function = lambda_.Function(
    stack,
    "WhoAmI",
    runtime=lambda_.Runtime.PYTHON_3_13,
    handler="index.handler",
    code=lambda_.Code.from_inline(CODE),
)
rest = apigateway.LambdaRestApi(stack, "Rest", handler=function, proxy=False)
rest.root.add_resource("me").add_method(
    "GET",
    authorizer=apigateway.CognitoUserPoolsAuthorizer(stack, "Authorizer", cognito_user_pools=[pool]),
    authorization_type=apigateway.AuthorizationType.COGNITO,
)
http = apigwv2.HttpApi(
    stack, "Http", default_authorizer=HttpUserPoolAuthorizer("Jwt", pool, user_pool_clients=[client])
)
http.add_routes(path="/me", integration=HttpLambdaIntegration("Me", function))
cdk.CfnOutput(stack, "ClientId", value=client.user_pool_client_id)
cdk.CfnOutput(stack, "HttpUrl", value=http.url)
app.synth()
