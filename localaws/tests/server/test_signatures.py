"""Another user of the machine knows the port and the ids of keys, but no secret: nothing of theirs counts."""

from __future__ import annotations

import base64
import http.client
import json
import re
import uuid
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from helpers.processes_of import invoke, make_function
from helpers.signing import (
    FORM,
    JSON,
    Signed,
    administrator,
    in_chunks,
    presigned,
    presigned_identity,
    signed,
)
from localaws import LocalAws

pytestmark = pytest.mark.local

# A call of each protocol, and the errors of AWS there: of an unknown key, a wrong signature, and none at all.
_QUERY = ("InvalidClientTokenId", "SignatureDoesNotMatch")
_JSON = ("UnrecognizedClientException", "InvalidSignatureException")
_CALLS = {
    "sts": ("get_caller_identity", *_QUERY),
    "iam": ("list_users", *_QUERY),
    "sns": ("list_topics", *_QUERY),
    "sqs": ("list_queues", *_QUERY),
    "route53": ("list_hosted_zones", *_QUERY),
    "cloudwatch": ("list_metrics", *_QUERY),
    "ec2": ("describe_vpcs", "AuthFailure", "AuthFailure"),
    "s3": ("list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    "dynamodb": ("list_tables", *_JSON),
    "kinesis": ("list_streams", *_JSON),
    "secretsmanager": ("list_secrets", *_JSON),
    "lambda": ("list_functions", *_JSON),
    "apigatewayv2": ("get_apis", *_JSON),
    "codedeploy": ("list_applications", *_JSON),
}


@pytest.fixture
def bucket(local_aws: LocalAws) -> str:
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    local_aws.client("s3").create_bucket(Bucket=name)
    local_aws.client("s3").put_object(Bucket=name, Key="a", Body=b"secret")
    return name


def _code_with(aws: LocalAws, service: str, call: str, key: str, secret: str) -> str:
    client = aws.session.client(service, aws_access_key_id=key, aws_secret_access_key=secret)
    with pytest.raises(ClientError) as error:
        getattr(client, call)()
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("service", _CALLS)
def test_neither_an_unknown_key_nor_a_wrong_secret_is_accepted(local_aws: LocalAws, service: str) -> None:
    call, unknown, wrong = _CALLS[service]
    assert _code_with(local_aws, service, call, "AKIAIOSFODNN7EXAMPLE", "guessed") == unknown
    assert _code_with(local_aws, service, call, "test", "test") == unknown
    for known in (administrator(local_aws).access_key, local_aws.account, "222222222222"):
        assert _code_with(local_aws, service, call, known, "guessed") == wrong


@pytest.mark.parametrize("bridges", [True, False])
@pytest.mark.parametrize("iam", [True, False])
def test_it_is_the_same_without_iam_and_without_bridges(bridges: bool, iam: bool) -> None:
    with LocalAws(bridges=bridges, iam=iam) as aws:
        assert _code_with(aws, "dynamodb", "list_tables", "test", "test") == _JSON[0]
        assert _code_with(aws, "dynamodb", "list_tables", aws.account, "guessed") == _JSON[1]
        assert signed(aws, "s3", "GET", "/").but(headers={}).send().status == 403
        make_function(
            aws, "import boto3\ndef handler(e, c): return boto3.client('sts').get_caller_identity()"
        )
        assert invoke(aws)["Account"] == aws.account


@pytest.mark.parametrize(("region", "status"), [("us-east-1", 200), ("eu-west-1", 403)])
def test_a_signature_is_for_the_region_that_the_name_of_the_service_has(
    local_aws: LocalAws, region: str, status: int
) -> None:
    calls = {
        "iam": ({"Content-Type": FORM}, b"Action=ListUsers&Version=2010-05-08"),
        "sqs": ({"Content-Type": JSON, "X-Amz-Target": "AmazonSQS.ListQueues"}, b"{}"),
    }
    for service, (headers, body) in calls.items():
        host = f"{service}.{region}.amazonaws.com"
        call = signed(local_aws, service, "POST", "/", headers={**headers, "Host": host}, body=body)
        del call.headers["Host"]
        answer = call.send(host)
        assert answer.status == status, answer.body
        assert (b"Credential should be scoped to a valid region" in answer.body) is (status == 403)


def test_a_request_without_a_signature_is_refused(local_aws: LocalAws, bucket: str) -> None:
    target = {"Content-Type": JSON, "X-Amz-Target": "DynamoDB_20120810.ListTables"}
    answer = Signed(local_aws, "POST", "/", target, b"{}").send()
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"
    answer = Signed(
        local_aws, "POST", "/", {"Content-Type": FORM}, b"Action=ListUsers&Version=2010-05-08"
    ).send()
    assert (answer.status, b"MissingAuthenticationToken" in answer.body) == (403, True)
    for method, path in [
        ("GET", "/"),
        ("GET", f"/{bucket}"),
        ("GET", f"/{bucket}/a"),
        ("PUT", f"/{bucket}/b"),
        ("PUT", "/new-bucket"),
        ("DELETE", f"/{bucket}/a"),
        ("PUT", f"/{bucket}?policy"),
        ("GET", "/2015-03-31/functions"),
        ("GET", "/2015-03-31/functions/"),
        ("POST", "/2015-03-31/functions/f/invocations"),
        ("GET", f"/v20180820/tags/{bucket}"),
        ("PUT", f"/v20180820/tags/{bucket}"),
        ("GET", "/iceberg/v1/config"),
        ("POST", "/Execute"),
        ("GET", "/v2/email/identities"),
        ("GET", "/v1/apis"),
        ("POST", "/v1/chat/completions"),
    ]:
        answer = Signed(local_aws, method, path).send()
        assert answer.status == 403, (method, path, answer.body)


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"Limit": 2}'},
        {"target": "/?x=1"},
        {"target": "/x"},
        {"method": "PUT"},
    ],
)
def test_nothing_of_a_signed_request_can_be_changed(local_aws: LocalAws, change: dict[str, Any]) -> None:
    headers = {"Content-Type": JSON, "X-Amz-Target": "DynamoDB_20120810.ListTables"}
    whole = signed(local_aws, "dynamodb", "POST", "/", headers=headers, body=b'{"Limit": 1}')
    assert whole.send().status == 200
    refused = whole.but(**change).send()
    assert refused.json()["__type"] == "InvalidSignatureException"
    other = whole.but(headers={**whole.headers, "X-Amz-Target": "DynamoDB_20120810.DescribeLimits"})
    assert other.send().json()["__type"] == "InvalidSignatureException"


def test_a_body_that_is_not_the_hashed_one_is_refused(local_aws: LocalAws) -> None:
    headers = {"Content-Type": JSON, "X-Amz-Target": "DynamoDB_20120810.ListTables"}
    empty = {"X-Amz-Content-SHA256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    request = signed(local_aws, "dynamodb", "POST", "/", headers=headers | empty, body=b'{"Limit": 1}')
    assert request.send().json()["__type"] == "InvalidSignatureException"
    unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    request = signed(local_aws, "dynamodb", "POST", "/", headers=headers | unsigned, body=b'{"Limit": 1}')
    assert request.send().json()["__type"] == "InvalidSignatureException"


def test_a_header_of_amazon_must_be_signed(local_aws: LocalAws, bucket: str) -> None:
    # Otherwise a URL for one upload would be one for a copy of any object.
    upload = signed(local_aws, "s3", "PUT", f"/{bucket}/copy")
    refused = upload.with_header("X-Amz-Copy-Source", f"/{bucket}/a").send()
    assert (refused.status, b"SignatureDoesNotMatch" in refused.body) == (403, True)


def test_a_url_for_s3_is_none_for_another_service(local_aws: LocalAws) -> None:
    url = presigned(local_aws, "/", expires=60)
    assert url.send().status == 200
    refused = url.with_header("X-Amz-Target", "DynamoDB_20120810.ListTables").send()
    assert refused.status in (400, 403)
    assert b"Signature" in refused.body


@pytest.mark.parametrize(
    ("service", "target"),
    [("sqs", "AmazonSQS"), ("dynamodb", "DynamoDB_20120810"), ("states", "AWSStepFunctions")],
)
def test_a_call_is_signed_for_its_service(local_aws: LocalAws, service: str, target: str) -> None:
    operation = {"sqs": "ListQueues", "dynamodb": "ListTables", "states": "ListStateMachines"}[service]
    headers = {"X-Amz-Target": f"{target}.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    given: Any = {"method": "POST", "target": "/", "headers": headers, "body": b"{}"}
    assert signed(local_aws, service, **given).send().status == 200
    refused = signed(local_aws, "lambda", **given).send()
    assert refused.status in (400, 403)
    assert f"Credential should be scoped to correct service: '{service}'." in refused.body.decode()


@pytest.mark.parametrize(
    ("minutes", "service", "status"), [(14, "sts", 200), (16, "sts", 403), (-16, "sts", 403)]
)
def test_a_signature_is_too_old_after_fifteen_minutes(
    local_aws: LocalAws, minutes: float, service: str, status: int
) -> None:
    body, headers = b"Action=GetCallerIdentity&Version=2011-06-15", {"Content-Type": FORM}
    request = signed(local_aws, service, "POST", "/", headers=headers, body=body, minutes_ago=minutes)
    assert request.send().status == status


def test_a_replay_on_s3_has_the_error_of_s3(local_aws: LocalAws, bucket: str) -> None:
    answer = signed(local_aws, "s3", "GET", f"/{bucket}/a", minutes_ago=16).send()
    assert b"<Code>RequestTimeTooSkewed</Code>" in answer.body


def test_a_presigned_url_is_valid_until_it_expires(local_aws: LocalAws, bucket: str) -> None:
    assert presigned(local_aws, f"/{bucket}/a", expires=60).send().body == b"secret"
    assert presigned(local_aws, f"/{bucket}/a", expires=7200, minutes_ago=60).send().body == b"secret"
    expired = presigned(local_aws, f"/{bucket}/a", expires=60, minutes_ago=2).send()
    assert (expired.status, b"Request has expired" in expired.body) == (403, True)
    for seconds in ("0", "604801", "-1", "x", ""):
        url = presigned(local_aws, f"/{bucket}/a", expires=60)
        changed = re.sub(r"X-Amz-Expires=\d+", f"X-Amz-Expires={seconds}", url.target)
        assert url.but(target=changed).send().status in (400, 403)
    longer = presigned(local_aws, f"/{bucket}/a", expires=60)
    longer = longer.but(target=longer.target.replace("Expires=60", "Expires=600"))
    assert longer.send().status == 403
    assert presigned_identity(local_aws).send().status == 200


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_the_urls_of_boto3_work_and_cannot_be_changed(local_aws: LocalAws, bucket: str, version: str) -> None:
    client = local_aws.session.client("s3", config=Config(signature_version=version))
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"}, ExpiresIn=60)
    target = url.removeprefix(local_aws.endpoint_url)
    assert Signed(local_aws, "GET", target).send().body == b"secret"
    assert Signed(local_aws, "GET", target.replace("/a?", "/b?")).send().status == 403
    assert Signed(local_aws, "DELETE", target).send().status == 403


@pytest.mark.parametrize("algorithm", ["AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"])
def test_every_chunk_of_an_upload_is_verified(local_aws: LocalAws, bucket: str, algorithm: str) -> None:
    read = local_aws.client("s3").get_object
    target = f"/{bucket}/chunks"
    request = in_chunks(local_aws, target, b"x" * 9000, b"y" * 100, algorithm=algorithm)
    assert request.send().status == 200
    assert read(Bucket=bucket, Key="chunks")["Body"].read() == b"x" * 9000 + b"y" * 100
    for body in (
        request.body.replace(b"yyy", b"zzz"),
        request.body.replace(b"xxx", b"zzz", 1),
        request.body[: request.body.index(b"64;")] + b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n",
        b"",
    ):
        assert request.but(body=body).send().status == 403
    other = "ECDSA-P256" if "HMAC" in algorithm else "HMAC"
    kind = {"X-Amz-Content-SHA256": f"STREAMING-AWS4-{other}-SHA256-PAYLOAD"}
    assert request.but(headers=request.headers | kind).send().status == 400


@pytest.mark.parametrize("algorithm", ["AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"])
def test_the_trailer_of_an_upload_is_verified(local_aws: LocalAws, bucket: str, algorithm: str) -> None:
    checksum = base64.b64encode(zlib.crc32(b"whole").to_bytes(4, "big")).decode()
    trailer = f"x-amz-checksum-crc32:{checksum}"
    request = in_chunks(local_aws, f"/{bucket}/trailer", b"whole", trailer=trailer, algorithm=algorithm)
    assert request.send().status == 200
    changed = request.but(body=request.body.replace(checksum.encode(), b"AAAAAA=="))
    assert changed.send().status == 403
    without = request.but(body=request.body[: request.body.index(b"x-amz-checksum")] + b"\r\n")
    assert without.send().status == 403


def test_temporary_credentials_need_their_session_token(empty_aws: LocalAws) -> None:
    given = empty_aws.client("sts").get_session_token()["Credentials"]

    def account(token: str | None) -> Any:
        client = empty_aws.session.client(
            "dynamodb",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=token,
        )
        return client.list_tables()["TableNames"]

    assert account(given["SessionToken"]) == []
    for wrong in (None, "another"):
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            account(wrong)


def test_the_key_of_a_user_that_is_deleted_is_unknown(empty_aws: LocalAws) -> None:
    iam = empty_aws.client("iam")
    iam.create_user(UserName="leaver")
    key = iam.create_access_key(UserName="leaver")["AccessKey"]
    mine = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    body, headers = b"Action=GetCallerIdentity&Version=2011-06-15", {"Content-Type": FORM}
    request = signed(empty_aws, "sts", "POST", "/", headers=headers, body=body, credentials=mine)
    assert request.send().status == 200
    iam.update_access_key(UserName="leaver", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert b"InvalidClientTokenId" in request.send().body
    iam.delete_access_key(UserName="leaver", AccessKeyId=key["AccessKeyId"])
    assert b"InvalidClientTokenId" in request.send().body


def test_a_second_credential_does_not_change_the_principal(empty_aws: LocalAws) -> None:
    # The emulator reads the first one, and a parser of headers the last one.
    iam = empty_aws.client("iam")
    iam.create_user(UserName="small")
    key = iam.create_access_key(UserName="small")["AccessKey"]
    mine, root = Credentials(key["AccessKeyId"], key["SecretAccessKey"]), administrator(empty_aws).access_key
    request = signed(empty_aws, "s3", "GET", "/", credentials=mine)
    assert b"AccessDenied" in request.send().body
    kind, _, rest = request.headers["Authorization"].partition(" ")
    for key_id in (root, empty_aws.account, "test"):
        first = f"Credential={key_id}/20260101/us-east-1/s3/aws4_request, {rest}"
        query = f"/?X-Amz-Credential={key_id}/20260101/us-east-1/s3/aws4_request"
        both = signed(empty_aws, "s3", "GET", query, credentials=mine)
        url = presigned(empty_aws, "/", expires=60, credentials=mine)
        twice = url.target.replace(
            "?", f"?X-Amz-Credential={key_id}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&"
        )
        for changed in (
            request.but(headers={**request.headers, "Authorization": f"{kind} {first}"}),
            both,
            url.but(target=twice),
            url.but(target=f"{url.target}&AWSAccessKeyId={key_id}"),
        ):
            answer = changed.send()
            assert answer.status in (400, 403), answer.body


def test_the_credentials_of_a_function_cannot_be_computed() -> None:
    # The emulator's are a hash of two ARNs.
    code = """import os
def handler(event, context):
    return [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]]
"""
    seen = []
    for _ in range(2):
        with LocalAws() as aws:
            make_function(aws, code)
            seen.append(invoke(aws))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_another_account_has_a_root_user_with_a_key_of_its_own(local_aws: LocalAws) -> None:
    other = local_aws.session_of("222222222222")
    assert other.client("sts").get_caller_identity()["Account"] == "222222222222"
    other.client("s3").create_bucket(Bucket="of-the-other")
    other.client("s3").put_object(Bucket="of-the-other", Key="a", Body=b"x")
    url = other.client("s3").generate_presigned_url("get_object", {"Bucket": "of-the-other", "Key": "a"})
    assert Signed(local_aws, "GET", url.removeprefix(local_aws.endpoint_url)).send().body == b"x"
    with pytest.raises(ValueError, match="12 digits"):
        local_aws.session_of("other")


def test_a_signature_is_checked_on_the_path_as_it_was_sent(local_aws: LocalAws, bucket: str) -> None:
    s3 = local_aws.client("s3")
    for key in ("a b/ü+~(1)'*!", "//double//", "dot/./dot/../x", "100%25", "a=b&c;d:e@f,g$h", "\u2028"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] == 1
    local_aws.client("ssm").put_parameter(Name="/a/b c", Value="x", Type="String")


# --- What AWS serves without a signature


def test_cognito_is_called_without_credentials_only_where_it_is_on_aws(empty_aws: LocalAws) -> None:
    cognito = empty_aws.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="users")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="web", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]

    def call(operation: str, **parameters: Any) -> Signed:
        target = f"AWSCognitoIdentityProviderService.{operation}"
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        return Signed(empty_aws, "POST", "/", headers, json.dumps(parameters).encode())

    sign_up = call("SignUp", ClientId=client, Username="ann", Password="Passw0rd!")
    assert sign_up.send().status == 200
    refused = call("AdminConfirmSignUp", UserPoolId=pool, Username="ann")
    for request in (refused, refused.but(target="/oauth2/x"), sign_up.but(target="/x")):
        assert request.send().json()["__type"] == "MissingAuthenticationTokenException"
    refused.but(target="/login").send()  # the hosted page, which does something else
    assert cognito.admin_get_user(UserPoolId=pool, Username="ann")["UserStatus"] == "UNCONFIRMED"
    # Keys of tokens.
    assert Signed(empty_aws, "GET", f"/{pool}/.well-known/jwks.json").send().json()["keys"]
    elsewhere = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    assert Signed(empty_aws, "GET", "/p/.well-known/jwks.json", elsewhere).send().status >= 400


def test_a_role_is_assumed_only_with_a_token_that_its_provider_signed(empty_aws: LocalAws) -> None:
    issuer = "cognito-idp.us-east-1.amazonaws.com/us-east-1_Abc"
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{empty_aws.account}:oidc-provider/{issuer}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
        },
    }
    role = empty_aws.client("iam").create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps(trust))
    claims = base64.urlsafe_b64encode(
        json.dumps({"iss": f"https://{issuer}", "sub": "me", "exp": 2e9}).encode()
    )
    forged = f"eyJhbGciOiJub25lIn0.{claims.decode().rstrip('=')}.eA"
    body = f"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=s&WebIdentityToken={forged}"
    body += f"&RoleArn={role['Role']['Arn']}"
    answer = Signed(empty_aws, "POST", "/", {"Content-Type": FORM}, body.encode()).send()
    assert (answer.status, b"InvalidIdentityToken" in answer.body) == (400, True)


def test_anonymous_requests_to_s3_are_allowed_as_far_as_a_policy_allows_everybody(
    empty_aws: LocalAws,
) -> None:
    s3 = empty_aws.client("s3")
    s3.create_bucket(Bucket="public-pages")
    s3.put_object(Bucket="public-pages", Key="index.html", Body=b"<h1>")
    page = Signed(empty_aws, "GET", "/public-pages/index.html")
    assert page.send().status == 403
    s3.delete_public_access_block(Bucket="public-pages")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::public-pages/*",
    }
    s3.put_bucket_policy(
        Bucket="public-pages", Policy=json.dumps({"Version": "2012-10-17", "Statement": statement})
    )
    assert page.send().body == b"<h1>"
    assert page.but(method="PUT", body=b"x").send().status == 403
    assert page.but(method="DELETE").send().status == 403
    assert page.but(target="/public-pages").send().status == 403


def test_a_form_with_a_signed_policy_uploads_and_another_one_does_not(empty_aws: LocalAws) -> None:
    empty_aws.client("s3").create_bucket(Bucket="uploads")
    post = empty_aws.client("s3").generate_presigned_post("uploads", "a")

    def send(fields: dict[str, str]) -> int:
        parts = [
            f'--B\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()
        ]
        parts.append('--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--B--\r\n')
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        return Signed(empty_aws, "POST", "/uploads", headers, "".join(parts).encode()).send().status

    assert send(post["fields"]) == 204
    name = "x-amz-signature" if "x-amz-signature" in post["fields"] else "signature"
    assert send(post["fields"] | {name: "0" * 64}) == 403
    assert send({"key": "a"}) == 403


def test_images_need_the_token_of_the_registry(empty_aws: LocalAws) -> None:
    data = empty_aws.client("ecr").get_authorization_token()["authorizationData"][0]
    ping = Signed(empty_aws, "GET", "/v2/")
    assert ping.with_header("Authorization", f"Basic {data['authorizationToken']}").send().status == 200
    known = base64.b64encode(b"AWS:ministack-auth-token").decode()
    for authorization in ("", f"Basic {known}", "Basic !", "Bearer x"):
        answer = ping.with_header("Authorization", authorization).send()
        assert answer.status == 401
        assert answer.header("www-authenticate").startswith("Basic ")


def test_a_front_takes_a_signature_only_if_it_is_valid(empty_aws: LocalAws) -> None:
    arn = make_function(empty_aws, "def handler(e, c): return {'statusCode': 200, 'body': 'in'}", name="url")
    lambdas = empty_aws.client("lambda")
    url = lambdas.create_function_url_config(FunctionName="url", AuthType="AWS_IAM")["FunctionUrl"]
    host = url.removeprefix("https://").strip("/")

    def send(credentials: Credentials) -> int:
        given = AWSRequest("GET", f"https://{host}/")
        SigV4Auth(credentials, "lambda", empty_aws.region).add_auth(given)
        return Signed(empty_aws, "GET", "/", dict(given.headers.items())).send(host).status

    mine = administrator(empty_aws)
    assert arn
    assert send(mine) == 200
    assert send(Credentials(mine.access_key, "guessed")) == 403
    assert send(Credentials("test", "test")) == 403
    assert send(Credentials(empty_aws.account, "test")) == 403
    assert Signed(empty_aws, "GET", "/").send(host).status == 403
    # An API behind the name of a front is no front.
    for path in (
        "/v20180820/tags/b",
        "/v2/",
        "/v2/email/identities",
        "/iceberg/v1/config",
        "/_ministack/reset",
    ):
        assert Signed(empty_aws, "GET", path).send(host).status in (401, 403)


def test_nothing_is_answered_in_plain_text(local_aws: LocalAws) -> None:
    connection = http.client.HTTPConnection(urlsplit(local_aws.endpoint_url).netloc, timeout=5)
    connection.request("GET", "/health")
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()
