"""The browser of this machine shows a page of an AWS on this machine, under its public name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException

from localaws.server.certificates import make_certificates
from scenarios.support import browser
from scenarios.support.endpoints import Endpoint

NAME = "d111111abcdef8.cloudfront.net"
PAGE = b"""<!doctype html><title>A page</title><link rel="icon" href="data:,">
<img src="/missing.png"><script>document.title = location.href; missing()</script>"""


class Pages(BaseHTTPRequestHandler):
    """Answers with the page, and 404 for what it includes."""

    def do_GET(self) -> None:
        """Answer."""
        found = self.path == "/" and self.headers["Host"] == NAME
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE if found else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """The way to a server with the certificate of an authority that only its clients trust."""
    files = make_certificates(tmp_path, "us-east-1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Endpoint("https", ("127.0.0.1", server.server_address[1]), f"{NAME}:443", str(files.authority))
        server.shutdown()


def test_without_a_browser_or_its_driver_there_are_no_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.programs() is None
    for name, found in (("chromedriver", None), ("google-chrome", browser.Programs)):
        (tmp_path / name).touch(mode=0o755)
        assert browser.programs() == (
            found and found(str(tmp_path / "google-chrome"), str(tmp_path / "chromedriver"))
        )


def test_a_page_is_opened_under_its_public_name(endpoint: Endpoint, tmp_path: Path) -> None:
    if (found := browser.programs()) is None:
        pytest.skip(browser.HOW_TO_INSTALL)
    with browser.running(found, endpoint) as opened:
        opened.open(f"https://{NAME}/")
        assert opened.wait_for("the script", lambda driver: driver.title) == f"https://{NAME}/"
        errors = opened.errors()
        assert [name for name in ("missing.png", "missing is not defined") if name in str(errors)] == [
            "missing.png",
            "missing is not defined",
        ], errors
        assert opened.errors() == []
        assert opened.picture(tmp_path / "out" / "page.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(WebDriverException, match="ERR_NAME_NOT_RESOLVED"):
            opened.open("https://www.example.com/")
