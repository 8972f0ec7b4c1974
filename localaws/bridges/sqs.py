"""Amazon SQS: queues as event sources of functions, and the redrive of dead-letter queues.

`sqs_sources` and `sqs_redrive` say what they are faithful to, what not, and which AWS pages they follow.
"""

from __future__ import annotations

from localaws.bridges import sqs_redrive, sqs_sources


def install() -> None:
    """Install both."""
    sqs_sources.install()
    sqs_redrive.install()
