"""A word → the words that are spelled most like it, watched by the agent of CodeGuru Profiler.

The agent reads its group from ``AWS_CODEGURU_PROFILER_GROUP_ARN``. Its thread starts at the first invocation
and pauses between two. It logs its own errors and raises none, so a profile may be missing, but no answer.

https://docs.aws.amazon.com/codeguru/latest/profiler-ug/python-lambda-command-line.html
"""

from typing import Any

from codeguru_profiler_agent import with_lambda_profiler

from .spelling import nearest


@with_lambda_profiler()  # type: ignore[untyped-decorator]  # the agent has no types
def handler(event: Any, _context: Any) -> dict[str, list[str]]:
    """Return the suggestions for ``{"word": "recieve", "dictionary": ["receive", "recipe"]}``."""
    given = event if isinstance(event, dict) else {}
    word, dictionary = given.get("word"), given.get("dictionary")
    if not isinstance(word, str) or not isinstance(dictionary, list):
        raise InvalidRequestError(
            'give a word and a dictionary: {"word": "recieve", "dictionary": ["receive"]}'
        )
    if not all(isinstance(one, str) for one in dictionary):
        raise InvalidRequestError("dictionary: each of its words must be a string")
    return {"suggestions": nearest(word, dictionary)}


class InvalidRequestError(ValueError):
    """The request has no word or no dictionary; the message says what to give."""
