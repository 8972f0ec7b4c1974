"""The blog, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.solutions.blog_website import leftovers
from scenarios.solutions.blog_website.blog import Blog
from scenarios.support import browser

pytestmark = pytest.mark.local


def test_readers_have_the_blog_and_subscribers_one_mail_each(outcome: Outcome) -> None:
    in_browser = {"errors in the console": 0} if browser.programs() else {}
    assert outcome.facts == {
        "uploads that failed": 1,
        "posts": 3,
        "releases without an invalidation": 1,
        "direct requests refused by S3": 3,
        **in_browser,
        "sign-ups": 4,
        "mails": 2,
    }
    assert [file.read_bytes()[:4] for file in outcome.files] == [b"\x89PNG"] * len(in_browser)


def test_no_subscriber_has_two_mails(drilled: Outcome) -> None:
    assert drilled.facts == {
        "mails for a change delivered twice": 1,
        "throttled attempts": 10,
        "mails after them": 2,
        "redriven": 1,
        "mails after the redrive": 1,
        "mails in doubt": 1,
        "mails meanwhile": 1,
        "mails from another identity": 0,
    }


def test_leftovers_are_rows_and_objects(stack: DeployedStack) -> None:
    with Blog(stack) as blog:
        blog.publish()
        blog.insert(blog.address("left"))
        blog.wait_for("sent", blog.address("left"))
        kinds = {line.partition(":")[0] for line in leftovers(stack)}
        assert kinds == {
            "PicturesTableName",
            "PostsTableName",
            "SubscribersTableName",
            "LedgerTableName",
            "object",
        }
    assert leftovers(stack) == []
