"""Words → those of the dictionary that are most like them.

The packages that it imports and the dictionary come from layers; the code of the function has neither.

https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html
"""

import os
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger

from .spelling import Dictionary

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
dictionary = Dictionary(os.environ["DICTIONARY"])


class InvalidEvent(ValueError):
    """The event has no words."""


class OutOfTime(Exception):
    """There are too many words for the time that the function has."""


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> dict[str, dict[str, str | None]]:
    """Return the corrections of the words of an event: ``{"corrections": {"recieve": "receive"}}``."""
    corrections: dict[str, str | None] = {}
    for word in words_of(event):
        if context.get_remaining_time_in_millis() < 100:  # better an error that says so than a timeout
            raise OutOfTime("the function has too little time for all words")
        corrections[word] = dictionary.nearest(word)
    logger.info(f"corrected {len(event['words'])} words")
    return {"corrections": corrections}


def words_of(event: Any) -> list[str]:
    """Return the words of an event.

    Raises:
        InvalidEvent: It has none, or something that is no text.
    """
    words = event.get("words") if isinstance(event, dict) else None
    try:
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            "".join(words).encode()  # JSON can escape half of a character
            return words
    except UnicodeEncodeError:
        pass
    raise InvalidEvent("words must be an array of strings")
