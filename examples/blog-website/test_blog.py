"""The deployed app: readers get posts with pictures, and each subscriber gets one mail."""

import json
import platform
import ssl
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

FOLDER = Path(__file__).parent
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de00"
    "00000c49444154789c6338916204000356015fe81784520000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def blog(deploy):
    here = {"machine": platform.machine(), "python": ".".join(platform.python_version_tuple()[:2])}
    return deploy(".", folder=FOLDER, context=here)


def send(local_aws, blog, path, body=None):
    """Send a request to the distribution; return the status, the headers and the body."""
    address = local_aws.address_of_distribution(blog.outputs["DomainName"])
    headers = {"Host": address.host, "Content-Type": "application/json"}
    request = Request(address.url + path, body and json.dumps(body).encode(), headers)
    try:
        with urlopen(request, context=ssl.create_default_context(cafile=address.ca_file)) as response:
            return response.status, response.headers, response.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


def eventually(check):
    """Call `check` until it returns something that is true."""
    end = time.monotonic() + 60
    while not (found := check()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_the_site_has_security_headers(local_aws, blog):
    blog.client("s3").put_object(
        Bucket=blog.outputs["SiteBucketName"],
        Key="index.html",
        Body=(FOLDER / "site" / "index.html").read_bytes(),
        ContentType="text/html",
    )
    status, headers, _ = send(local_aws, blog, "/")
    assert (status, headers["content-security-policy"]) == (200, "default-src 'self'; frame-ancestors 'none'")


def test_a_post_has_a_picture(local_aws, blog):
    key = "pictures/boat.png"
    blog.client("s3").put_object(Bucket=blog.outputs["PicturesBucketName"], Key=key, Body=PIXEL)
    post = {"blog": "main", "id": "2026-11-28-boat", "title": "A boat", "picture": key}
    item = {name: {"S": value} for name, value in post.items()}
    blog.client("dynamodb").put_item(TableName=blog.outputs["PostsTableName"], Item=item)
    status, _, body = send(local_aws, blog, "/api/posts")
    assert status == 200
    (shown,) = json.loads(body)["posts"]
    assert shown["title"] == "A boat"
    assert eventually(lambda: send(local_aws, blog, shown["picture"]["320"])[0] == 200)


def mails_of(blog, *addresses):
    """Return the states of the mails to these addresses, in order of the addresses."""
    rows = blog.client("dynamodb").scan(TableName=blog.outputs["MailsTableName"])["Items"]
    states = sorted((row["address"]["S"], row["state"]["S"]) for row in rows)
    return [state for address, state in states if address in addresses]


def test_each_subscriber_gets_one_mail(local_aws, blog):
    statuses = [
        send(local_aws, blog, "/api/subscribers", {"email": address})[0]
        for address in ("ann@example.com", "ANN@example.com", "ben@example.com", "ben")
    ]
    assert statuses == [202, 202, 202, 400]

    eventually(lambda: mails_of(blog, "ann@example.com", "ben@example.com") == ["sent", "sent"])
    quota = blog.client("sesv2").get_account()["SendQuota"]
    assert quota["SentLast24Hours"] == 2


def test_a_throttled_mail_is_sent_later_and_a_refused_one_holds_up_no_other(local_aws, blog):
    before = blog.client("sesv2").get_account()["SendQuota"]["SentLast24Hours"]
    with local_aws.faults.api("sesv2", "SendEmail", error="TooManyRequestsException", times=8):
        send(local_aws, blog, "/api/subscribers", {"email": "cat@example.com"})
        eventually(lambda: mails_of(blog, "cat@example.com") == ["sent"])
    with local_aws.faults.api("sesv2", "SendEmail", error="MessageRejected", status=400, times=1):
        send(local_aws, blog, "/api/subscribers", {"email": "dan@example.com"})
        eventually(lambda: mails_of(blog, "dan@example.com") == ["refused"])
    send(local_aws, blog, "/api/subscribers", {"email": "eve@example.com"})
    eventually(lambda: mails_of(blog, "eve@example.com") == ["sent"])
    assert blog.client("sesv2").get_account()["SendQuota"]["SentLast24Hours"] == before + 2
