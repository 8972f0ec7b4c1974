"""A real browser without a window: opens pages of a stack, collects what its console says, takes pictures.

Selenium drives a Chromium of this machine and downloads nothing. The public names of an AWS on this machine
have no address: the browser connects to that AWS for them, and knows no other name.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.ui import WebDriverWait

from scenarios.framework import ScenarioFailed, require
from scenarios.support.endpoints import TIMEOUT, Endpoint
from scenarios.support.processes import with_this_process

T = TypeVar("T")

#: What to do where there is none.
HOW_TO_INSTALL = (
    "apt-get install chromium chromium-driver (Debian) or brew install chromium chromedriver (macOS)"
)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_AWS = ("amazonaws.com", "amazoncognito.com", "cloudfront.net", "on.aws")


@dataclass(frozen=True)
class Programs:
    """The two programs that Selenium needs, of the same version.

    Args:
        browser: The path of Chromium or Chrome.
        driver: The path of its chromedriver.
    """

    browser: str
    driver: str


def programs() -> Programs | None:
    """Return the browser of this machine and its driver; ``None`` if the machine does not have both."""
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return Programs(browser, driver) if browser and driver else None


class Browser:
    """An open browser.

    Attributes:
        driver: Selenium's driver, for all that has no method here.
    """

    def __init__(self, driver: Chrome, scheme: str) -> None:
        self.driver = driver
        self._scheme = scheme

    def open(self, url: str) -> None:
        """Open a page, and return when it and what it includes are loaded.

        Args:
            url: Its public URL: ``https://ID.cloudfront.net/``.
        """
        # An AWS on this machine may have no TLS.
        self.driver.get(url.replace("https:", f"{self._scheme}:", 1))

    def wait_for(self, what: str, check: Callable[[Chrome], T]) -> T:
        """Wait until a check of the page returns something that is true, and return that.

        Args:
            what: What is waited for, for the error.
            check: Called with the driver; elements that do not exist yet are no error.

        Raises:
            ScenarioFailed: It did not come.
        """
        try:
            return WebDriverWait(self.driver, TIMEOUT).until(check)
        except TimeoutException:
            raise ScenarioFailed(f"{what}: not within {TIMEOUT} s; the console: {self.errors()}") from None

    def errors(self) -> list[str]:
        """Errors in the console since the last call: of scripts, of files that did not load, of policies."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def picture(self, path: Path) -> Path:
        """Save what the window shows as PNG.

        Args:
            path: The file; its folder is made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        require(self.driver.save_screenshot(str(path)), f"{path} was not written")
        return path


class _Service(ChromeService):
    """A chromedriver that ends with this process, and with it its browser."""

    def __init__(self, driver: str, **options: Any) -> None:
        self._shell, *self._before = with_this_process([driver])
        super().__init__(self._shell, **options)

    def command_line_args(self) -> list[str]:
        return [*self._before, *super().command_line_args()]


@contextmanager
def running(
    found: Programs, endpoint: Endpoint | None = None, *, width: int = 1000, height: int = 700
) -> Iterator[Browser]:
    """Run a browser while the body runs.

    Args:
        found: What `programs` returned.
        endpoint: The way to a public URL of a stack: if it leads to this machine, those of AWS do.
        width: Width of the window in pixels.
        height: Height of the window in pixels.
    """
    options = ChromeOptions()
    options.binary_location = found.browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--window-size={width},{height}",
    ):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium does not start as root with it
    if endpoint is not None and endpoint.is_local:
        host, port = endpoint.address
        rules = [*(f"MAP *.{domain} {host}:{port}" for domain in _AWS), "MAP * ~NOTFOUND"]
        options.add_argument(f"--host-resolver-rules={', '.join(rules)}")
        if endpoint.scheme == "https":
            options.add_argument(f"--ignore-certificate-errors-spki-list={_pin(endpoint)}")
    driver = Chrome(options, _Service(found.driver, popen_kw={"start_new_session": True}))
    try:
        yield Browser(driver, endpoint.scheme if endpoint else "https")
    finally:
        driver.quit()


def _pin(endpoint: Endpoint) -> str:
    """Check the certificate with the authority of the endpoint, and return the digest of its key.

    Chromium knows no authorities of a session, but accepts certificates with the keys that it is given.
    """
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    name = endpoint.host.partition(":")[0]
    with (
        socket.create_connection(endpoint.address, timeout=TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
    assert certificate is not None  # the context requires one
    key = x509.load_der_x509_certificate(certificate).public_key()
    return b64encode(
        sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()
