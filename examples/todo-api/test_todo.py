"""Two users of the deployed app: each has items and files, and neither reads those of the other one."""

import json
import ssl
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

PASSWORD = "Buy-milk-2-day"


@pytest.fixture(scope="module")
def todo(deploy):
    return deploy(".", folder=Path(__file__).parent)


def sign_in(todo, name):
    """Create a user, and return the ID token."""
    cognito, pool = todo.client("cognito-idp"), {"UserPoolId": todo.outputs["UserPoolId"]}
    cognito.admin_create_user(**pool, Username=name, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**pool, Username=name, Password=PASSWORD, Permanent=True)
    answer = cognito.admin_initiate_auth(
        **pool,
        ClientId=todo.outputs["ClientId"],
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
    )
    return answer["AuthenticationResult"]["IdToken"]


def send(local_aws, todo, token, method, path, body=None):
    """Send a request to the API; return the status and the text of the response."""
    address = local_aws.address_of_api(todo.outputs["Url"])
    headers = {"Host": address.host, "Authorization": token}
    request = Request(address.url + path, body and body.encode(), headers, method=method)
    trusted = ssl.create_default_context(cafile=address.ca_file)
    try:
        with urlopen(request, context=trusted) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_each_user_has_items_of_their_own(local_aws, todo):
    ann, ben = sign_in(todo, "ann"), sign_in(todo, "ben")
    assert send(local_aws, todo, ann, "PUT", "/items/milk", "two bottles")[0] == 204
    status, item = send(local_aws, todo, ann, "GET", "/items/milk")
    assert (status, json.loads(item)) == (200, {"id": "milk", "text": "two bottles"})
    assert send(local_aws, todo, ben, "GET", "/items/milk")[0] == 404
    assert send(local_aws, todo, "no token", "GET", "/items/milk")[0] == 401


def test_each_user_has_files_of_their_own(local_aws, todo):
    prefixes, clients = {}, {}
    identity = todo.client("cognito-identity")
    for name in ("kim", "lou"):
        logins = {todo.outputs["Provider"]: sign_in(todo, name)}
        pool = todo.outputs["IdentityPoolId"]
        prefixes[name] = identity.get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"]
        given = identity.get_credentials_for_identity(IdentityId=prefixes[name], Logins=logins)["Credentials"]
        clients[name] = boto3.client(
            "s3",
            region_name=local_aws.region,
            endpoint_url=local_aws.endpoint_url,
            verify=str(local_aws.ca_file),
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretKey"],
            aws_session_token=given["SessionToken"],
        )
    file = {"Bucket": todo.outputs["BucketName"], "Key": f"{prefixes['kim']}/list.txt"}
    clients["kim"].put_object(**file, Body=b"milk")
    assert clients["kim"].get_object(**file)["Body"].read() == b"milk"
    with pytest.raises(ClientError, match="AccessDenied"):
        clients["lou"].get_object(**file)
