"""Opens a blog in a real browser, subscribes in it, and counts the mails; breaks what sends them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.solutions.blog_website.blog import POSTS, SITE, TEXT, Blog, as_thumbnailer, listed
from scenarios.solutions.blog_website.drill import drill
from scenarios.storage import thumbnailer
from scenarios.storage.thumbnailer.hostile import hostile_files
from scenarios.support import browser
from scenarios.support.endpoints import Endpoint
from scenarios.support.leftovers import in_queues, in_tables

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "drill", "leftovers", "run"]

# What the embedded AWS accepts but does not emulate, and why the scenario proves its facts all the same.
_REPLICA = (
    "The embedded AWS has no replicas in other Regions; the scenario uses the table of the stack's own."
)
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    f"AWS::DynamoDB::GlobalTable.Replicas.{name}": _REPLICA
    for name in ("PointInTimeRecoverySpecification", "Tags")
}

_HEADERS = ("strict-transport-security", "x-content-type-options", "referrer-policy")
# The titles of the posts that have their picture, when all have one.
_SHOWN = """
const shown = [...document.querySelectorAll('article')].filter(one => one.querySelector('img')?.naturalWidth);
return shown.length >= arguments[0] && shown.map(one => one.querySelector('h2').textContent);
"""

# Whether one post is shown, with its text.
_HAS_TEXT = """
const shown = [...document.querySelectorAll('article')];
return shown.length === 1 && shown[0].innerText.includes(arguments[0]);
"""


def run(stack: DeployedStack) -> Outcome:
    """Publish a blog, open it in a browser, and subscribe: in the browser, twice, and with no address.

    Raises:
        ScenarioFailed: A reader saw something else, or the mails are not one for each subscriber.
    """
    story, files = Story("A blog", stack.tell), []
    with Blog(stack) as blog:
        before = blog.mails()
        with story.timed("published"):
            _check_pictures(blog, story)
        _check_site(blog, story)
        found = browser.programs()
        with story.timed("browser"):
            if found is None:
                story.say(f"Not shown: the site in a browser. There is none here: {browser.HOW_TO_INSTALL}.")
                require(blog.subscribe(blog.address("ann")) == 202, "the sign-up was refused")
            else:
                files.append(_open(blog, found, stack.out / "blog-website" / "site.png", story))
        _check_mails(blog, before, story)
    return story.outcome(files)


def _check_pictures(blog: Blog, story: Story) -> None:
    """A file that is no picture is uploaded among the others."""
    bad = hostile_files()[1]
    blog.pictures.upload(f"{blog.pictures.prefix}{bad.name}", bad.data)
    blog.publish()
    (failed,) = blog.pictures.failures.wait_for(1)
    story.fact("uploads that failed", 1)
    story.say(
        f"{len(POSTS)} pictures and {bad.what} are uploaded: the pictures have thumbnails, and the failure "
        f"queue has the text: {failed.reason}"
    )


def _check_site(blog: Blog, story: Story) -> None:
    pictures = [post["picture"]["320"] for post in blog.posts()]
    story.fact("posts", len(pictures))
    for path in ("/", "/api/posts", *pictures):
        answer = blog.get(path)
        missing = [name for name in _HEADERS if not answer.header(name)]
        require(answer.status == 200 and not missing, f"{path}: {answer.status} without {missing}")
    policy = blog.get("/").header("content-security-policy")
    require(policy.startswith("default-src 'self'"), f"content-security-policy: {policy}")
    story.say("The site, the API and the thumbnails are of one distribution, with its security headers.")
    page = (SITE / "index.html").read_bytes()
    blog.release("index.html", page.replace(b"<title>", b"<title>New: "))
    blog.wait_for_page(page.replace(b"<title>", b"<title>New: "))
    story.fact("releases without an invalidation", 1)
    story.say("A new version of the site is uploaded: readers have it within about a second.")
    refused = blog.refused_by_s3()
    require(set(refused) == {403}, f"the buckets answered {refused}")
    story.fact("direct requests refused by S3", len(refused))
    story.say(f"Asked directly, each bucket answers {refused[0]}: they are private.")


def _open(blog: Blog, found: browser.Programs, picture: Path, story: Story) -> Path:
    """Read and subscribe as a person does."""
    with browser.running(found, blog.endpoint, height=860) as opened:
        opened.open(blog.url)
        titles = opened.wait_for(
            "three posts with pictures",
            lambda driver: driver.execute_script(_SHOWN, len(POSTS)),
        )
        require({title for title, *_ in POSTS} <= set(titles), f"the page shows {titles}")
        opened.driver.find_element("id", "email").send_keys(blog.address("ann"))
        opened.driver.find_element("css selector", "form button").click()
        answer = opened.wait_for(
            "an answer to the sign-up", lambda driver: driver.find_element("id", "answer").text
        )
        opened.picture(picture)
        opened.driver.find_element("css selector", "h2 a").click()
        opened.wait_for("the text of a post", lambda driver: driver.execute_script(_HAS_TEXT, TEXT))
        errors = opened.errors()
        require(not errors, f"the console of the browser: {errors}")
    story.fact("errors in the console", len(errors))
    story.say(
        f"A browser opens the site: {listed(titles)}, each with its picture, and no error in its console. "
        f"Ann subscribes: “{answer}” A click on a title opens the post with its text."
    )
    return picture


def _check_mails(blog: Blog, before: int, story: Story) -> None:
    ann, ben = blog.address("ann"), blog.address("ben")
    statuses = [blog.subscribe(address) for address in (ann, ann.upper(), ben, "ben", "ben@localhost")]
    require(statuses == [202, 202, 202, 400, 400], f"the sign-ups were answered {statuses}")
    blog.wait_for("sent", ann, ben)
    story.fact("sign-ups", statuses.count(202) + 1)
    story.say("Ann subscribes twice more, and Ben once; 400 for what is no address.")
    if blog.stack.faults is None:
        story.say("Their mails are in the ledger. Not shown: the mails; the account counts those of all.")
        return
    story.fact("mails", blog.mails() - before)
    require(blog.mails() - before == 2, f"{blog.mails() - before} mails")
    story.say("Two mails were sent: one to each.")


def smoke_api(stack: DeployedStack) -> None:
    """Use each permission of the API's function once, past the cache of the distribution.

    Raises:
        ScenarioFailed: A request failed.
    """
    with Blog(stack) as blog:
        api = Endpoint.of(stack, stack.output("ApiUrl"))
        statuses = [api.request("GET", f"/api/posts{path}").status for path in ("", "/none")]
        statuses.append(blog.subscribe(blog.address("kim")))
        require(statuses == [200, 404, 202], f"the API answered {statuses}")
        blog.wait_for("sent", blog.address("kim"))


def smoke_welcome(stack: DeployedStack) -> None:
    """Use each permission of the function that sends mails once: also for what SES refuses.

    Raises:
        ScenarioFailed: A mail or a failure is missing.
    """
    with Blog(stack) as blog:
        lou = blog.address("lou")
        blog.insert(lou)
        blog.insert(f"{blog.run_id} is no address")
        blog.wait_for("sent", lou)
        blog.failures.wait_for(1)


def smoke_pictures(stack: DeployedStack) -> None:
    """Use each permission of the thumbnailer once."""
    thumbnailer.smoke(as_thumbnailer(stack))


def one_sign_up(stack: DeployedStack) -> None:
    """Subscribe and wait for the mail; the subscriber stays, because a deletion would be another event."""
    blog = Blog(stack)
    require(blog.subscribe(blog.address("event")) == 202, "the sign-up was refused")
    blog.wait_for("sent", blog.address("event"))


EVENT = BilledEvent(
    "a sign-up, and its mail",
    one_sign_up,
    also={
        "SES mails": 1,
        "DynamoDB replicated write request units": 1,
    },  # the subscriber, in the other Region
)

ROLES: tuple[Covered, ...] = (
    Covered("ApiFunctionName", smoke_api),
    Covered("WelcomeFunctionName", smoke_welcome),
    Covered("PicturesFunctionName", smoke_pictures),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in tables, queues and buckets: only the scenario puts something there."""
    objects = [
        f"object: {one['Key']}"
        for name in ("Site", "Pictures", "Thumbnails")
        for kind in ("Versions", "DeleteMarkers")
        for one in stack.client("s3")
        .list_object_versions(Bucket=stack.output(f"{name}BucketName"))
        .get(kind, [])
    ]
    return [*in_tables(stack), *in_queues(stack), *objects]
