"""The site: its links, what its start page knows of each architecture, and how it works in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from scenarios.support import browser
from scenarios.support.browser import Browser
from stacks.catalogue import ARCHITECTURES
from tasks import catalogue_facts, site
from tasks.site_extension import REPOSITORY, ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
KINDS = (
    "index.html",
    "README.html",
    "architectures.html",
    "docs/messaging/sqs-consumer.html",
    "docs/embedded-aws.html",
    "docs/development.html",
    "CHANGELOG.html",
    "api/index.html",
    "api/messaging/sqs_consumer.html",
    "api/localaws.html",
    "search.html?q=queue",
)


class Page(HTMLParser):
    """What a page leads to, and where one can get on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep addresses and ids."""
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids |= {value for name, value in attrs if name == "id" and value}


def dead_links(folder: Path) -> list[str]:
    """Each link on a page of a folder that leads to no file or part of a page in it, or out of it."""
    pages = {path: Page(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            address, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", address):
                continue
            target = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            there = target.is_file() and target.is_relative_to(folder.resolve())
            if not there or (anchor and target in pages and unquote(anchor) not in pages[target].ids):
                found.append(f"{path.relative_to(folder)}: {link}")
    return found


def test_a_page_links_its_neighbours_as_in_the_repository_and_other_files_there() -> None:
    code = "[code](../../stacks/architecture.py)"
    text = f"[queue](sqs-consumer.md#limits) {code} ![site](../images/site-start.png)"
    pages = ["docs/messaging/sqs-consumer.md"]
    adapted, pictures = site.adapt(text, "docs/messaging/sns-consumer.md", pages)
    assert adapted == text.replace(code, f"[code]({REPOSITORY}/blob/main/stacks/architecture.py)")
    assert pictures == {"docs/images/site-start.png"}


def test_a_folder_and_a_part_of_a_file_are_linked_in_the_repository() -> None:
    adapted, _ = site.adapt("[a](examples) [b](run.py#L1) [c](https://x.example/) [d](#e)", "README.md", [])
    folder, line = f"{REPOSITORY}/tree/main/examples", f"{REPOSITORY}/blob/main/run.py#L1"
    assert adapted == f"[a]({folder}) [b]({line}) [c](https://x.example/) [d](#e)"


def resources(**types: dict[str, Any]) -> dict[str, Any]:
    """A template with one resource of each type, whose logical id is the last part of it."""
    return {
        "Resources": {
            kind.split("_")[-1]: {"Type": f"AWS::{kind.replace('_', '::')}", "Properties": properties}
            for kind, properties in types.items()
        }
    }


INVOKES = {"Statement": [{"Action": "lambda:InvokeFunction"}]}
ASSUMED = {"Statement": [{"Principal": {"Service": "scheduler.amazonaws.com"}}]}


@pytest.mark.parametrize(
    ("template", "triggers"),
    [
        (resources(Lambda_Function={}), ["Direct call"]),
        (resources(Lambda_Permission={"Principal": "123456789012"}), ["Direct call"]),
        (resources(Lambda_Permission={"Principal": "s3.amazonaws.com"}), ["S3"]),
        (
            resources(Lambda_Url={}, Lambda_Permission={"Principal": "apigateway.amazonaws.com"}),
            ["API Gateway", "Function URL"],
        ),
        (
            resources(
                SQS_Queue={},
                Lambda_EventSourceMapping={"EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}},
            ),
            ["SQS"],
        ),
        (
            resources(
                IAM_Role={"AssumeRolePolicyDocument": ASSUMED},
                IAM_Policy={"PolicyDocument": INVOKES, "Roles": [{"Ref": "Role"}]},
            ),
            ["EventBridge Scheduler"],
        ),
    ],
)
def test_what_invokes_the_functions_is_read_from_the_template(
    template: dict[str, Any], triggers: list[str]
) -> None:
    assert catalogue_facts.triggers(template) == triggers


def test_the_services_of_an_architecture_are_those_that_others_lack() -> None:
    template = resources(
        Lambda_Function={}, IAM_Role={}, Logs_LogGroup={}, ApiGatewayV2_Api={}, EC2_Subnet={}
    )
    assert catalogue_facts.services(template) == ["API Gateway"]
    template = resources(Logs_SubscriptionFilter={}, EC2_VPC={})
    assert catalogue_facts.services(template) == ["CloudWatch Logs", "VPC"]
    template = resources(EC2_LaunchTemplate={}, AutoScaling_AutoScalingGroup={}, XRay_Group={})
    assert catalogue_facts.services(template) == ["EC2", "EC2 Auto Scaling"]
    template = resources(RDS_DBInstance={"ManageMasterUserPassword": True})
    assert catalogue_facts.services(template) == ["RDS", "Secrets Manager"]


def test_a_card_has_what_it_is_chosen_by_and_is_shown_without_scripts() -> None:
    page = site.start_page()
    assert page.count("<li data-service=") == len(ARCHITECTURES)
    assert '<li data-service="DynamoDB|SQS" data-trigger="SQS" data-proof="run">' in page
    assert re.findall(r"<(\w+)[^>]* hidden", page) == ["form"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    made = tmp_path_factory.mktemp("a folder") / "site"
    assert site.build(made), "see what Sphinx has printed"
    return made


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """A browser for all tests; pages open from files."""
    found = browser.programs()
    if found is None:
        pytest.skip(f"there is no browser: {browser.HOW_TO_INSTALL}")
    with browser.running(found, width=1280, height=900) as opened:
        yield opened


def show(window: Browser, folder: Path, page: str) -> None:
    """Open a page of the site as a file."""
    path, _, query = page.partition("?")
    window.open((folder / path).as_uri() + (f"?{query}" if query else ""))


@pytest.mark.full
def test_every_link_leads_somewhere(folder: Path) -> None:
    assert not dead_links(folder)


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">b</a><a href="https://x.example/">x</a>')
    (tmp_path / "b.html").write_text('<p id="there"><a href="a.html">a</a>')
    assert dead_links(tmp_path) == []
    (tmp_path / "b.html").write_text('<img src="c.png"><a href="../d.html">d</a>')
    assert sorted(dead_links(tmp_path)) == ["a.html: b.html#there", "b.html: ../d.html", "b.html: c.png"]


@pytest.mark.full
def test_every_public_name_has_its_place_in_the_reference(folder: Path) -> None:
    ids = {name for path in (folder / "api").rglob("*.html") for name in Page(path.read_text("utf-8")).ids}
    public = {f"{module}.{name}" for module, names in site.public_modules().items() for name in names}
    assert len(public) > 100
    assert public <= ids


@pytest.mark.full
def test_every_page_opens_without_errors_with_all_its_pictures_and_fits_a_phone(
    folder: Path, window: Browser
) -> None:
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    wrong = {}
    for path in sorted(folder.rglob("*.html")):
        page = path.relative_to(folder).as_posix()
        show(window, folder, page)
        faults = window.driver.execute_script(
            """
            const broken = [...document.images].filter(image => !image.complete || !image.naturalWidth);
            const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
            const text = document.querySelector(".bd-article-container");
            const tooWide = text.scrollWidth > text.clientWidth
                || document.scrollingElement.scrollWidth > screen.width;
            return [
                ...broken.map(image => `broken picture ${image.src}`),
                ...loaded.filter(name => !name.startsWith("file:")).map(name => `from elsewhere ${name}`),
                ...(tooWide ? ["wider than a phone"] : []),
            ];
            """
        )
        if found := [*window.errors(), *faults]:
            wrong[page] = found
    window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert not wrong


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_kind_of_page_passes_axe(folder: Path, window: Browser, theme: str) -> None:
    if not AXE.exists():
        pytest.skip("`python3 run.py test` installs axe")
    wanted = [
        {"name": "prefers-color-scheme", "value": theme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
    wrong = {}
    for page in KINDS:
        show(window, folder, page)
        window.driver.execute_script(
            "document.querySelectorAll('details').forEach(details => { details.open = true; });"
        )
        window.driver.execute_script(AXE.read_text("utf-8"))
        found = window.driver.execute_async_script("axe.run({preload: false}).then(arguments[0])")
        if found["violations"]:
            wrong[page] = [
                f"{violation['id']}: {node['target']} {node['failureSummary']}"
                for violation in found["violations"]
                for node in violation["nodes"]
            ]
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.full
@pytest.mark.parametrize("words", ["SqsConsumer", "ProvisionedConcurrencyAlias", "LocalAws"])
def test_the_search_finds_a_class_by_its_name(folder: Path, window: Browser, words: str) -> None:
    show(window, folder, "index.html")
    ActionChains(window.driver).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    window.driver.switch_to.active_element.send_keys(words, Keys.ENTER)
    window.wait_for(
        f"{words} in the results of the search",
        lambda driver: driver.find_elements(By.CSS_SELECTOR, f"#search-results li a[href$='.{words}']"),
    )
    assert window.errors() == []


@pytest.mark.full
def test_every_block_of_code_has_a_button_that_copies_it(folder: Path, window: Browser) -> None:
    show(window, folder, "README.html")
    blocks = window.driver.find_elements(By.CSS_SELECTOR, "div.highlight pre")
    buttons = window.driver.find_elements(By.CSS_SELECTOR, "div.highlight button.copybtn")
    assert 0 < len(blocks) == len(buttons)


@pytest.mark.full
def test_cards_are_chosen_with_the_keyboard_and_the_address_keeps_the_choice(
    folder: Path, window: Browser
) -> None:
    def shown() -> list[str]:
        cards = window.driver.find_elements(By.CSS_SELECTOR, ".cards > li h3")
        return [card.text for card in cards if card.is_displayed()]

    show(window, folder, "index.html")
    assert len(shown()) == len(ARCHITECTURES)
    ActionChains(window.driver).send_keys(Keys.TAB).perform()
    assert window.driver.switch_to.active_element.get_attribute("hash") == "#main-content"
    window.driver.find_element(By.NAME, "trigger").send_keys("Kinesis")
    assert len(shown()) == 2
    address = window.driver.current_url
    assert address.endswith("#trigger=Kinesis")
    show(window, folder, "README.html")
    window.open(address)
    assert len(shown()) == 2
    assert Select(window.driver.find_element(By.NAME, "trigger")).first_selected_option.text == "Kinesis"
    window.driver.find_element(By.CSS_SELECTOR, ".catalogue-filter button").send_keys(Keys.ENTER)
    window.wait_for("all cards", lambda _: len(shown()) == len(ARCHITECTURES))
