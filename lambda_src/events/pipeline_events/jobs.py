"""A job of CodePipeline, and the one answer to it.

Copy this module for an action of your own.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_FailureDetails.html
_LONGEST_MESSAGE = 5_000
# https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ExecutionDetails.html
_LONGEST_SUMMARY = 2_048


class Job:
    """A job of CodePipeline. Of several answers only the first one is sent.

    Args:
        client: A client of CodePipeline whose calls end in time.
        job: What the event has below ``CodePipeline.job``. It has credentials: do not log it.
    """

    def __init__(self, client: Any, job: dict[str, Any]) -> None:
        self._client = client
        self.id: str = job["id"]
        self.answered = False
        self._answering = threading.Lock()

    def succeed(self, summary: str, variables: dict[str, str]) -> None:
        """The action has succeeded; later actions can use its variables."""
        details = {"summary": summary[:_LONGEST_SUMMARY]}
        put = self._client.put_job_success_result
        self._answer(lambda: put(jobId=self.id, executionDetails=details, outputVariables=variables))

    def continue_with(self, token: str) -> None:
        """The action takes longer: CodePipeline invokes the function again, with this token in a new job."""
        put = self._client.put_job_success_result
        self._answer(lambda: put(jobId=self.id, continuationToken=token))

    def fail(self, message: str, request_id: str) -> None:
        """The action has failed; CodePipeline shows the message."""
        details = {
            "type": "JobFailed",
            "message": message[:_LONGEST_MESSAGE] or "no reason given",
            "externalExecutionId": request_id,
        }
        put = self._client.put_job_failure_result
        self._answer(lambda: put(jobId=self.id, failureDetails=details))

    def _answer(self, put: Callable[[], Any]) -> None:
        with self._answering:
            if self.answered:
                return
            # It may be answered already: by another invocation, or by an attempt whose response was lost.
            with suppress(self._client.exceptions.InvalidJobStateException):
                put()
            self.answered = True

    @contextmanager
    def failing_after(self, seconds: float, message: str, request_id: str) -> Iterator[None]:
        """Fail the job from another thread if the body has not answered by then. The body is not ended."""
        timer = threading.Timer(max(seconds, 0), self.fail, (message, request_id))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
