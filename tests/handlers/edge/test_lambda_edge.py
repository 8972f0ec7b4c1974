"""The functions of `lambda-edge` at their four points, and the one that makes variants of images."""

from __future__ import annotations

import base64
import io
import struct
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from edge.lambda_edge import handler as images
from edge.lambda_edge.handler import NotAPictureError, narrowed, png
from edge.lambda_edge.origin import request_handler as origin_request
from edge.lambda_edge.origin import response_handler as origin_response
from edge.lambda_edge.viewer import nearest_width
from edge.lambda_edge.viewer import request_handler as viewer_request
from edge.lambda_edge.viewer import response_handler as viewer_response


def event(
    uri: str = "/a.html", query: str = "", response: Any = None, origin: str = "s3", **headers: str
) -> Any:
    """An event, which has the keys of all points."""
    lines = {name.replace("_", "-"): [{"key": name, "value": value}] for name, value in headers.items()}
    request = {"uri": uri, "querystring": query, "headers": lines, "method": "GET", "origin": {origin: {}}}
    return {
        "Records": [
            {"cf": {"config": {"requestId": "an id"}, "request": request, "response": response or {}}}
        ]
    }


@pytest.mark.parametrize(("group", "uri"), [("a", "/a.html"), ("b", "/b/a.html")])
def test_a_viewer_stays_in_its_group(group: str, uri: str) -> None:
    request = viewer_request(event(query="utm_source=x", cookie=f"other=1; group={group}"), None)
    assert (request["uri"], request["querystring"]) == (uri, "")
    assert request["headers"]["x-group"][0]["value"] == group


@pytest.mark.parametrize("cookie", ["", "group=c", "group=../x", "=; ;;group", "bad(name)=1"])
def test_a_viewer_without_a_group_gets_one_and_its_cookie(cookie: str) -> None:
    request = viewer_request(event(cookie=cookie, x_group="z"), None)
    group = request["headers"]["x-group"][0]["value"]
    assert group in ("a", "b")
    own = event(
        response={"status": "200", "headers": {"set-cookie": [{"key": "Set-Cookie", "value": "c=1"}]}}
    )
    own["Records"][0]["cf"]["request"] = request
    cookies = [line["value"] for line in viewer_response(own, None)["headers"]["set-cookie"]]
    assert cookies[0] == "c=1"
    assert cookies[1].startswith(f"group={group}; ")


def test_a_viewer_with_its_cookie_gets_no_other() -> None:
    kept = event(response={"status": "200", "headers": {}}, cookie="group=b", x_group="b")
    assert viewer_response(kept, None)["headers"] == {}
    image = event("/images/x.png", response={"status": "200", "headers": {}})
    assert viewer_response(image, None)["headers"] == {}


def test_the_account_needs_a_session() -> None:
    made = viewer_request(event("/account/a&b.html"), None)
    assert made["status"] == "302"
    assert made["headers"]["location"][0]["value"] == "/login?next=%2Faccount%2Fa%26b.html"
    assert made["headers"]["cache-control"][0]["value"] == "no-store"
    cookie = 'theme={"d":1}; session=1; group=a'
    assert viewer_request(event("/account/a.html", cookie=cookie), None)["uri"] == "/account/a.html"


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("/%61ccount/x.html", "400"),
        ("/accoun%74/x.html", "400"),
        ("/account%2fx.html", "400"),
        ("/%5f.html", "400"),
        ("//account/x.html", "400"),
        ("/./account/x.html", "400"),
        ("/x/..", "400"),
        ("/%", "400"),
        ("/%4", "400"),
        ("/b/account/x.html", "404"),
        ("/b/x.html", "404"),
    ],
)
def test_no_other_spelling_or_folder_leads_to_a_page(uri: str, status: str) -> None:
    assert viewer_request(event(uri, cookie="group=a"), None)["status"] == status


@pytest.mark.parametrize(
    "uri", ["/images/a%20b.png", "/%C3%BC.html", "/a&b..c/.d/100%25.html", "/%2561.html"]
)
def test_escapes_that_a_path_needs_are_taken(uri: str) -> None:
    assert viewer_request(event(uri, cookie="group=a"), None)["uri"] == uri


def test_a_group_cannot_be_forged() -> None:
    forged = event("/images/x.png", response={"status": "200", "headers": {}}, x_group="evil; Domain=a.org")
    assert "x-group" not in viewer_request(forged, None)["headers"]
    other = event(response={"status": "200", "headers": {}}, x_group="evil; Domain=a.org")
    assert viewer_response(other, None)["headers"] == {}


@pytest.mark.parametrize("cookie", ["session=", 'session=""; group=a', "group=a; session"])
def test_an_empty_session_is_none(cookie: str) -> None:
    made = viewer_request(event("/account/a.html", "tab=1&x=%20", cookie=cookie), None)
    assert made["headers"]["location"][0]["value"] == "/login?next=%2Faccount%2Fa.html%3Ftab%3D1%26x%3D%2520"


@pytest.mark.parametrize("uri", ["/account/a.html", "/b/account/a.html"])
def test_an_account_page_is_in_no_cache(uri: str) -> None:
    public = {"cache-control": [{"key": "Cache-Control", "value": "public, max-age=60"}]}
    given = event(uri, response={"status": "200", "headers": public})
    assert origin_response(given, None)["headers"]["cache-control"][0]["value"] == "private, no-store"


@pytest.mark.parametrize(
    ("query", "width"),
    [
        ("width=1", 160),
        ("width=160", 160),
        ("width=161", 320),
        ("width=640", 640),
        ("width=99999999999", 640),
        ("width=-1", 640),
        ("width=x", 640),
        ("width=²", 640),
        ("", 640),
        ("width=1&width=300", 320),
    ],
)
def test_widths_are_few(query: str, width: int) -> None:
    assert nearest_width(query) == width
    assert viewer_request(event("/images/x.png", query), None)["querystring"] == f"width={width}"


@pytest.mark.parametrize(("country", "path"), [("DE", "/eu"), ("US", "/world"), ("", "/world")])
def test_the_origin_of_a_country(country: str, path: str) -> None:
    headers = {"cloudfront_viewer_country": country} if country else {}
    assert origin_request(event(**headers), None)["origin"]["s3"]["path"] == path


@pytest.mark.parametrize(
    ("name", "key"), [("a&b", "a%26b"), ("a%20b", "a%20b"), ("%C3%BC", "%C3%BC"), ("%2541", "%2541")]
)
def test_an_image_is_asked_of_the_function(name: str, key: str) -> None:
    request = origin_request(event(f"/images/{name}.png", "width=160", origin="custom"), None)
    assert (request["uri"], request["querystring"]) == ("/resize", f"key=images%2F{key}.png&width=160")


@pytest.mark.parametrize(
    ("status", "origin", "expected", "cached"),
    [
        ("403", "s3", "404", False),
        ("404", "s3", "404", False),
        ("403", "custom", "403", False),
        ("500", "s3", "500", False),
        ("200", "s3", "200", True),
    ],
)
def test_responses_of_the_origin(status: str, origin: str, expected: str, cached: bool) -> None:
    given = event(response={"status": status, "headers": {}}, origin=origin)
    response = origin_response(given, None)
    assert response["status"] == expected
    assert ("cache-control" in response["headers"]) is cached
    assert ("body" in response) is (expected == "404")
    own = {"cache-control": [{"key": "Cache-Control", "value": "no-store"}]}
    given = event(response={"status": "200", "headers": dict(own)})
    assert origin_response(given, None)["headers"] == own


def _picture(width: int, height: int) -> bytes:
    return png(width, height, b"".join(b"\0" + bytes([y % 256] * 3) * width for y in range(height)))


@pytest.mark.parametrize(
    ("had", "wanted", "size"),
    [((400, 200), 160, (160, 80)), ((100, 50), 160, (100, 50)), ((400, 1), 160, (160, 1))],
)
def test_a_picture_is_not_made_wider(had: tuple[int, int], wanted: int, size: tuple[int, int]) -> None:
    made = narrowed(_picture(*had), wanted)
    assert struct.unpack(">II", made[16:24]) == size
    assert narrowed(made, wanted) == made


def test_what_is_no_picture_is_refused() -> None:
    filtered = png(1, 1, b"\1\0\0\0")
    grey = _picture(1, 1).replace(struct.pack(">BBBBB", 8, 2, 0, 0, 0), struct.pack(">BBBBB", 8, 0, 0, 0, 0))
    for wrong in (b"", b"GIF89a", _picture(1, 1)[:20], filtered, grey, _picture(2, 2)[:-30]):
        with pytest.raises(NotAPictureError):
            narrowed(wrong, 160)
    huge = png(60_000, 60_000, b"")
    with pytest.raises(NotAPictureError):
        narrowed(huge, 160)


@pytest.mark.parametrize(
    ("query", "answer", "status"),
    [
        ({"key": "images/x.png", "width": "160"}, _picture(320, 2), 200),
        ({"key": "images/x.png", "width": "160"}, b"text", 415),
        ({"key": "images/x.png", "width": "160"}, "NoSuchKey", 404),
        ({"key": "images/x.png", "width": "160"}, "AccessDenied", 404),
        ({"key": "secret/x.png", "width": "160"}, None, 400),
        ({"key": "images/x.png", "width": "0"}, None, 400),
        ({"key": "images/x.png", "width": "9999"}, None, 400),
        ({"key": "images/x.png", "width": "²"}, None, 400),
        ({"key": "images/x.png", "width": "٣٢٠"}, None, 400),
        ({"key": "images/x.png", "width": "9" * 5_000}, None, 400),
        (None, None, 400),
    ],
)
def test_answers_of_the_images_function(
    query: dict[str, str] | None, answer: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    monkeypatch.setenv("BUCKET_NAME", "bucket")
    monkeypatch.setattr(images, "_s3", lambda: client)
    with Stubber(client) as stub:
        if isinstance(answer, bytes):
            stub.add_response("get_object", {"Body": io.BytesIO(answer)})
        elif answer:
            stub.add_client_error("get_object", answer)
        made = images.handler({"queryStringParameters": query}, None)
    assert made["statusCode"] == status
    cached = "public, max-age=86400" if status == 200 else "no-store"
    assert made["headers"]["cache-control"] == cached
    assert bool(base64.b64decode(made["body"]))
