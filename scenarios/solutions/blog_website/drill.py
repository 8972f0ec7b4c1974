"""What sends the mails dies, fails, is left in doubt, and is given another sender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require
from scenarios.solutions.blog_website.blog import Blog
from scenarios.support.faults import Faults

_THROTTLED = "TooManyRequestsException"
_ATTEMPTS = 10


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Count the mails of subscribers whose changes come twice, or whose mail fails in one way or another.

    Raises:
        ScenarioFailed: A subscriber had another number of mails.
    """
    story = Story("At most one mail for each subscriber, whatever fails", stack.tell)
    with Blog(stack) as blog:
        _deliver_twice(blog, story)
        _throttle(blog, story)
        _throttle_for_long(blog, faults, story)
        _leave_in_doubt(blog, story)
        _send_from_another_identity(blog, faults, story)
    return story.outcome()


def _deliver_twice(blog: Blog, story: Story) -> None:
    """The function dies after its work, so Lambda delivers the change again, and the next one after it."""
    before, twice, later = blog.mails(), blog.address("twice"), blog.address("later")
    function = blog.stack.output("WelcomeFunctionName")
    with blog.stack.faults.function(function, killed=True, after_running=True, times=1) as killed:

        def died() -> None:
            if not killed.applied:
                raise NotYet("the function has not died yet")

        blog.insert(twice)
        blog.stack.wait_until(died, "the first delivery")
        blog.insert(later)
        blog.wait_for("sent", twice, later)
    story.fact("mails for a change delivered twice", blog.mails() - before - 1)
    story.say(
        "The function dies after it has sent a mail, and Lambda delivers the change again: the ledger has it "
        "as sent, and no second mail is sent."
    )


def _throttle(blog: Blog, story: Story) -> None:
    before, first, second = blog.mails(), blog.address("throttled"), blog.address("behind")
    with blog.stack.faults.api("sesv2", "SendEmail", error=_THROTTLED, times=_ATTEMPTS) as fault:
        blog.insert(first)
        blog.insert(second)
        blog.wait_for("sent", first, second)
    require(fault.applied == _ATTEMPTS, f"SES throttled {fault.applied} attempts")
    require(not blog.failures.poll(), "a throttled mail is in the failure queue")
    story.fact("throttled attempts", fault.applied)
    story.fact("mails after them", blog.mails() - before)
    story.say(
        f"SES throttles {_ATTEMPTS} attempts: the changes wait in the stream, and each mail is sent once."
    )


def _throttle_for_long(blog: Blog, faults: Faults, story: Story) -> None:
    """A change that waits for longer than the function has patience; here, that has none."""
    before, address = blog.mails(), blog.address("given-up")
    with (
        faults.environment(blog.stack.output("WelcomeFunctionName"), PATIENCE="0"),
        blog.stack.faults.api("sesv2", "SendEmail", error=_THROTTLED),
    ):
        blog.insert(address)
        (failed,) = blog.failures.wait_for(1)
    require(_THROTTLED in failed.reason and blog.mails() == before, f"{failed.reason}, or it was sent")
    story.fact("redriven", blog.redrive())
    blog.deliver(failed.event)
    blog.wait_for("sent", address)
    story.fact("mails after the redrive", blog.mails() - before)
    story.say(
        "SES throttles for longer than a change may wait: it goes to the failure queue with its data, and a "
        "redrive sends the mail. Delivered once more, the change is not mailed again."
    )


def _leave_in_doubt(blog: Blog, story: Story) -> None:
    """The function dies between the row and the answer of SES, which in this case does not send."""
    before, doubtful, other = blog.mails(), blog.address("doubtful"), blog.address("other")
    error = "InternalServiceErrorException"
    with blog.stack.faults.api("sesv2", "SendEmail", error=error, status=500, latency=30, times=1):
        blog.insert(doubtful)
        blog.wait_for("sending", doubtful)
        blog.stack.faults.kill(blog.stack.output("WelcomeFunctionName"))
        blog.insert(other)
        blog.failures.wait_for(1)
        blog.wait_for("sent", other)
    blog.wait_for("sending", doubtful)
    story.fact("mails in doubt", 1)
    story.fact("mails meanwhile", blog.mails() - before)
    story.say(
        "The function dies between the row and the answer of SES, so nothing says whether the mail was sent. "
        "It is not sent again: the failure queue has the change, the ledger the address. The next subscriber "
        "has a mail."
    )


def _send_from_another_identity(blog: Blog, faults: Faults, story: Story) -> None:
    before, address = blog.mails(), blog.address("spoofed")
    function = blog.stack.output("WelcomeFunctionName")
    with (
        _verified(blog, f"{blog.run_id}@example.org") as other,
        faults.environment(function, SENDER=other),
    ):
        blog.insert(address)
        blog.failures.wait_for(2)
    rows = [row for row in blog.rows() if row["address"] == address]
    require(not rows, f"a refused mail left {rows}")
    story.fact("mails from another identity", blog.mails() - before)
    story.say("As another verified sender of the account, the function is denied: its role has one identity.")


@contextmanager
def _verified(blog: Blog, address: str) -> Iterator[str]:
    """Another identity of the account, which may send; the embedded AWS verifies at once."""
    ses: Any = blog.stack.client("sesv2")
    ses.create_email_identity(EmailIdentity=address)
    try:
        yield address
    finally:
        ses.delete_email_identity(EmailIdentity=address)
