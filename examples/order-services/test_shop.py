"""The deployed shop, and a second copy of it: orders are shipped or undone, and a service may be down."""

import json
import os
import ssl
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shop(deploy):
    return deploy(".", folder=HERE)


def send(local_aws, shop, method, path, body=None):
    """Send a signed request to the API; return the status and the body."""
    address = local_aws.address_of_api(shop.outputs["Url"])
    data = json.dumps(body).encode() if body else None
    signed = AWSRequest(
        method, f"https://{address.host}/prod{path}", headers={"Host": address.host}, data=data
    )
    credentials = local_aws.session.get_credentials()
    SigV4Auth(credentials, "execute-api", local_aws.region).add_auth(signed)
    request = Request(address.url + path, data, dict(signed.headers.items()), method=method)
    trusted = ssl.create_default_context(cafile=address.ca_file)
    try:
        with urlopen(request, context=trusted) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def stock(shop, product, number):
    item = {"product": {"S": product}, "in_stock": {"N": str(number)}}
    shop.client("dynamodb").put_item(TableName=shop.outputs["Products"], Item=item)


def order(local_aws, shop, product, quantity):
    """Place an order, and return its path."""
    path = f"/orders/{uuid.uuid4()}"
    body = {"product": product, "quantity": quantity}
    assert send(local_aws, shop, "PUT", path, body)[0] == 202
    assert send(local_aws, shop, "PUT", path, body)[0] == 200
    return path


def wait_for(local_aws, shop, path, status):
    shop.wait_until(lambda: send(local_aws, shop, "GET", path)[1]["status"] == status)


@pytest.mark.parametrize(
    ("quantity", "status", "left"), [(2, "shipped", 98), (25, "rejected", 100), (101, "rejected", 100)]
)
def test_an_order_is_shipped_or_undone(local_aws, shop, quantity, status, left):
    product = f"lamp-{quantity}"
    stock(shop, product, 100)
    wait_for(local_aws, shop, order(local_aws, shop, product, quantity), status)
    shop.wait_until(lambda: send(local_aws, shop, "GET", "/products")[1][product] == left)


@pytest.mark.parametrize(
    ("product", "quantity"),
    [("lamp", -1), ("lamp", float("inf")), ("lamp", "2"), ("", 1), ({}, 1), ("\ud800", 1)],
)
def test_what_is_no_order_is_refused(local_aws, shop, product, quantity):
    body = {"product": product, "quantity": quantity}
    assert send(local_aws, shop, "PUT", f"/orders/{uuid.uuid4()}", body)[0] == 400


def test_an_order_waits_for_a_service_that_is_down(local_aws, shop):
    stock(shop, "pen", 10)
    with local_aws.faults.function(shop.outputs["ShippingFunction"], error="ServiceDown", times=1) as down:
        path = order(local_aws, shop, "pen", 1)
        wait_for(local_aws, shop, path, "shipped")
        assert down.applied == 1


def test_another_environment_is_another_copy_of_everything(local_aws, shop, deploy):
    copy = deploy(".", folder=HERE, context={"environment": "test"})
    assert not {*copy.outputs.values()} & {*shop.outputs.values()}
    stock(copy, "cup", 1)
    path = order(local_aws, copy, "cup", 1)
    wait_for(local_aws, copy, path, "shipped")
    assert send(local_aws, shop, "GET", path)[0] == 404


@pytest.mark.parametrize("name", ["Test_1", "test-", False, 0])
def test_the_name_of_an_environment_is_checked(name):
    context = {"CDK_CONTEXT_JSON": json.dumps({"environment": name})}
    app = [sys.executable, "app.py"]
    done = subprocess.run(app, cwd=HERE, env={**os.environ, **context}, capture_output=True, text=True)
    assert (done.returncode, f"-c environment={name}: give" in done.stderr) == (1, True)
