"""The blog of a run: its site, posts, pictures and subscribers, which are all removed again."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from scenarios.framework import DeployedStack, NotYet, require
from scenarios.storage.thumbnailer.driver import Thumbnailer
from scenarios.storage.thumbnailer.pictures import photograph
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.failure_queue import failed_of_run
from scenarios.support.redrive import redrive

#: The site of the example, which is the same.
SITE = Path(__file__).parents[3] / "examples" / "blog-website" / "site"
POSTS = (
    ("A rocket over the bay", "We saw the launch from the end of the pier.", "rocket-orientation-6.jpg"),
    ("Coffee on deck", "Two cups, no wind, and the tide not in before noon.", "coffee-wide-gamut.jpg"),
    ("The cat that sails", "She came aboard in spring, and has not left since.", "cat.webp"),
)

TEXT = "More of it when we are ashore."


def as_thumbnailer(stack: DeployedStack) -> DeployedStack:
    """The stack with the outputs that the stack of the thumbnailer has."""
    names = {
        "SourceBucketName": "PicturesBucketName",
        "DestinationBucketName": "ThumbnailsBucketName",
        "TableName": "PicturesTableName",
        "FunctionName": "PicturesFunctionName",
        "FailureQueueUrl": "PicturesFailureQueueUrl",
    }
    mapped = {name: stack.output(own) for name, own in names.items()}
    return replace(stack, outputs={**stack.outputs, **mapped, "SourcePrefix": "pictures/"})


class Blog:
    """The deployed stack.

    Attributes:
        pictures: The thumbnailer, with the pictures of this run.
        url: The URL of the site.
        endpoint: The way to it.
        failures: What the queue for failed changes has of this run.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.stack, self.pictures = stack, Thumbnailer(as_thumbnailer(stack))
        self.run_id = self.pictures.run_id
        self.url = f"https://{stack.output('DomainName')}/"
        self.endpoint = Endpoint.of(stack, self.url)
        self.failures = failed_of_run(stack, self.run_id, ["Welcome"])["Welcome"]
        self._dynamodb, self._s3, self._ses = map(stack.client, ("dynamodb", "s3", "sesv2"))
        self._files: list[str] = []
        self._posts: list[str] = []
        self._addresses: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in self._files:
            self._s3.delete_object(Bucket=self.stack.output("SiteBucketName"), Key=key)
        for name in self._posts:
            self._delete("PostsTableName", blog="main", id=name)
        for row in self.rows():
            self._delete("LedgerTableName", change=row["change"])
        for address in self._addresses:
            self._delete("SubscribersTableName", email=address)
        self.failures.close()
        self.pictures.__exit__(kind, error, trace)

    def publish(self) -> None:
        """Put the files of the site into its bucket, and a post with each picture.

        Raises:
            ScenarioFailed: The bucket has a site already, which the files would overwrite.
        """
        there = self._s3.list_objects_v2(Bucket=self.stack.output("SiteBucketName"), MaxKeys=1)
        require(there["KeyCount"] == 0, "the bucket has a site: verify a stack without one, to lose nothing")
        for file in SITE.iterdir():
            self.release(file.name, file.read_bytes())
        for number, (title, summary, picture) in enumerate(POSTS):
            key = f"{self.pictures.prefix}{picture}"
            version = self.pictures.upload(key, photograph(picture))
            name = f"9999-{self.run_id}-{number}"  # before all others
            texts = {
                "blog": "main",
                "id": name,
                "title": title,
                "summary": summary,
                "text": TEXT,
                "picture": key,
            }
            self._posts.append(name)
            item = {name: {"S": value} for name, value in texts.items()}
            self._dynamodb.put_item(TableName=self.stack.output("PostsTableName"), Item=item)
            self.pictures.wait_for_row(key, version)

    def release(self, name: str, content: bytes) -> None:
        """Put a file of the site into its bucket, as `aws s3 sync --cache-control no-cache` does."""
        self._files.append(name)
        self._s3.put_object(
            Bucket=self.stack.output("SiteBucketName"),
            Key=name,
            Body=content,
            ContentType=mimetypes.guess_type(name)[0] or "application/octet-stream",
            CacheControl="no-cache",
        )

    def wait_for_page(self, content: bytes) -> None:
        """Wait until readers have this page: CloudFront keeps what is not to be cached for a second."""

        def check() -> None:
            if self.get("/").body != content:
                raise NotYet("an old page")

        self.stack.wait_until(check, "the new page")

    def get(self, path: str) -> HttpResponse:
        """Ask the distribution, which keeps posts for some seconds."""
        return self.endpoint.request("GET", path)

    def posts(self) -> list[dict[str, Any]]:
        """Return the posts of this run, when the distribution has all of them."""

        def check() -> list[dict[str, Any]]:
            answer = self.get("/api/posts")
            require(answer.status == 200, f"/api/posts: {answer.status} {answer.body!r}")
            found = [one for one in answer.json()["posts"] if one["id"] in self._posts]
            if len(found) < len(self._posts):
                raise NotYet(f"{len(found)} posts")
            return found

        return self.stack.wait_until(check, "the posts of this run")

    def refused_by_s3(self) -> list[int]:
        """Ask each bucket directly, as anybody can, and return the statuses."""
        keys = {"Site": "index.html", "Pictures": f"{self.pictures.prefix}{POSTS[0][2]}", "Thumbnails": ""}
        keys["Thumbnails"] = f"{keys['Pictures']}/320.webp"
        region, statuses = self.stack.session.region_name, []
        for name, key in keys.items():
            host = f"{self.stack.output(f'{name}BucketName')}.s3.{region}.amazonaws.com"
            answer = Endpoint.of(self.stack, f"https://{host}").request("GET", f"/{quote(key)}")
            statuses.append(answer.status)
        return statuses

    # --- Subscribers and their mails

    def address(self, name: str) -> str:
        """An address of this run, at the mailbox simulator of SES.

        https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
        """
        address = f"success+{self.run_id}-{name}@simulator.amazonses.com"
        self._addresses.add(address)
        return address

    def subscribe(self, address: str) -> int:
        """Sign up by the site; return the status."""
        body = json.dumps({"email": address}).encode()
        headers = [("Content-Type", "application/json")]
        return self.endpoint.request("POST", "/api/subscribers", headers=headers, body=body).status

    def insert(self, address: str) -> None:
        """Write a subscriber past the API, which would refuse this address."""
        self._addresses.add(address)
        item = {"email": {"S": address}}
        self._dynamodb.put_item(TableName=self.stack.output("SubscribersTableName"), Item=item)

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the ledger about this run."""
        found = self._dynamodb.scan(TableName=self.stack.output("LedgerTableName"), ConsistentRead=True)
        rows = [{name: next(iter(value.values())) for name, value in one.items()} for one in found["Items"]]
        return [row for row in rows if row["address"] in self._addresses]

    def wait_for(self, state: str, *addresses: str) -> None:
        """Wait until the ledger has each of these addresses once, in this state."""

        def check() -> None:
            states = [(row["address"], row["state"]) for row in self.rows() if row["address"] in addresses]
            if sorted(states) != sorted((address, state) for address in addresses):
                raise NotYet(str(states))

        self.stack.wait_until(check, f"{len(addresses)} rows that are {state}")

    def mails(self) -> int:
        """How many mails the account has sent in the last 24 hours: on AWS, all senders of the account."""
        return int(self._ses.get_account()["SendQuota"]["SentLast24Hours"])

    def redrive(self) -> int:
        """Deliver the changes in the failure queue again, as `run.py redrive` does; return how many."""
        self.failures.release()
        url, function = (self.stack.output(f"Welcome{one}") for one in ("FailureQueueUrl", "FunctionName"))
        return redrive(self.stack.session, queue_url=url, function_name=function).resent

    def deliver(self, event: object) -> None:
        """Invoke the function that sends mails, as a message does that the queue delivers twice."""
        answer = self.stack.client("lambda").invoke(
            FunctionName=self.stack.output("WelcomeFunctionName"), Payload=json.dumps(event).encode()
        )
        require("FunctionError" not in answer, f"the function failed: {answer}")

    def _delete(self, table: str, **key: str) -> None:
        named = {name: {"S": value} for name, value in key.items()}
        self._dynamodb.delete_item(TableName=self.stack.output(table), Key=named)


def listed(values: Sequence[object]) -> str:
    """Return values in a sentence."""
    return ", ".join(map(str, values))
