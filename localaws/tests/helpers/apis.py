"""HTTP and REST APIs in front of functions, made by API calls."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from helpers.http import Endpoint, Headers, HttpResponse
from helpers.lambda_functions import Functions

#: Returns its event, or does what the query string says.
HANDLER = """
import json, time
def handler(event, context):
    said = event.get("queryStringParameters") or {}
    do = said.get("do", "echo")
    if do == "fail":
        raise ValueError("the secret is 42")
    if do == "sleep":
        time.sleep(10)
    if do == "big":
        return "x" * (6 * 1024 * 1024 + 200)
    if do == "give":
        return json.loads(said["result"])
    return {"statusCode": 200, "body": json.dumps(event)}
"""


class Api:
    """An API with its address.

    Args:
        functions: Where functions are made.
        prefix: What precedes each path: the stage.
    """

    def __init__(self, functions: Functions, client: str, prefix: str) -> None:
        self.functions = functions
        self.aws = functions.aws
        self.client = functions.aws.client(client)
        self.prefix = prefix
        self.id = ""

    def request(
        self, method: str, path: str, *, headers: Headers = (), body: bytes = b"", **query: str
    ) -> HttpResponse:
        """Send a request."""
        address = self.aws.address_of_api(self.id)
        target = self.prefix + path + ("?" if query else "")
        target += "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return Endpoint.of(address, address.host).request(method, target, headers=headers, body=body)

    def get(self, path: str, *, headers: Headers = (), **query: str) -> HttpResponse:
        """A GET."""
        return self.request("GET", path, headers=headers, body=b"", **query)

    def give(self, path: str, result: object, *, headers: Headers = ()) -> HttpResponse:
        """What a client gets when the function returns this."""
        return self.get(path, headers=headers, do="give", result=json.dumps(result))

    def permit(self, function: str, source: str = "*", **more: Any) -> None:
        """Let the API invoke a function."""
        self.aws.client("lambda").add_permission(
            FunctionName=function,
            StatementId=f"s{uuid.uuid4().hex}",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"{self.functions.arn('execute-api', self.id)}/{source}",
            **more,
        )


class HttpApi(Api):
    """An HTTP API with a stage that deploys by itself."""

    def __init__(self, functions: Functions, *, stage: str = "$default", **settings: Any) -> None:
        super().__init__(functions, "apigatewayv2", "" if stage == "$default" else f"/{stage}")
        name = f"api-{uuid.uuid4().hex[:8]}"
        self.id = self.client.create_api(Name=name, ProtocolType="HTTP", **settings)["ApiId"]
        self.stage = stage
        self.client.create_stage(ApiId=self.id, StageName=stage, AutoDeploy=True)

    def integrate(self, function: str, version: str = "2.0", **settings: Any) -> str:
        """An integration with a function that the API may invoke."""
        self.permit(function)
        made: str = self.client.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=self.functions.arn("lambda", f"function:{function}"),
            PayloadFormatVersion=version,
            **settings,
        )["IntegrationId"]
        return made

    def route(self, key: str, integration: str, **settings: Any) -> None:
        """A route."""
        target = f"integrations/{integration}"
        self.client.create_route(ApiId=self.id, RouteKey=key, Target=target, **settings)

    def update_stage(self, **settings: Any) -> None:
        """Change the stage."""
        self.client.update_stage(ApiId=self.id, StageName=self.stage, **settings)


class RestApi(Api):
    """A REST API with the stage `live`."""

    def __init__(self, functions: Functions, **settings: Any) -> None:
        super().__init__(functions, "apigateway", "/live")
        self.name = f"api-{uuid.uuid4().hex[:8]}"
        self.id = self.client.create_rest_api(name=self.name, **settings)["id"]
        self._resources: dict[str, str] = {
            "/": self.client.get_resources(restApiId=self.id)["items"][0]["id"]
        }

    def resource(self, path: str) -> str:
        """The id of the resource with this path."""
        if path not in self._resources:
            parent, _, part = path.rpartition("/")
            made = self.client.create_resource(
                restApiId=self.id, parentId=self.resource(parent or "/"), pathPart=part
            )
            self._resources[path] = str(made["id"])
        return self._resources[path]

    def method(self, method: str, path: str, function: str = "", **settings: Any) -> dict[str, Any]:
        """A method, with a function behind it if one is given."""
        place = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": method}
        integration = settings.pop("integration", {})
        self.client.put_method(**place, **{"authorizationType": "NONE", **settings})
        if function:
            self.permit(function)
            arn = self.functions.arn("lambda", f"function:{function}")
            uri = f"arn:aws:apigateway:{self.aws.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
            called = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri, **integration}
            self.client.put_integration(**place, **called)
        return place

    def deploy(self) -> None:
        """Deploy to the stage."""
        self.client.create_deployment(restApiId=self.id, stageName="live")

    def patch_stage(self, **values: str) -> None:
        """Change the stage: paths with their values."""
        operations = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
        self.client.update_stage(restApiId=self.id, stageName="live", patchOperations=operations)


def signed(
    api: Api, path: str, *statements: tuple[str, str], service: str = "execute-api", region: str = ""
) -> list[tuple[str, str]]:
    """The headers of a GET that a user signs who may do each action on its resource."""
    iam, name = api.aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    allowed = [{"Effect": "Allow", "Action": action, "Resource": arn} for action, arn in statements]
    document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=api.aws.region)
    host = api.aws.address_of_api(api.id).host
    request = AWSRequest("GET", f"https://{host}{api.prefix}{path}", headers={"Host": host})
    credentials = session.get_credentials()
    assert credentials is not None
    SigV4Auth(credentials, service, region or api.aws.region).add_auth(request)
    return [(name, value) for name, value in request.headers.items() if name != "Host"]
