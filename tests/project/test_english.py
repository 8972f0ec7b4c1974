"""The text of this project is plain English: phrases that read as translated are found.

It looks at docs, docstrings, comments, messages and names, across line breaks too. A finding says what to
write instead; the right sentence often takes more than that: read it aloud.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

_KINDS = (".md", ".py", ".toml")
_THIS = "tests/project/test_english.py"


class Phrase(NamedTuple):
    """A phrase to avoid: a pattern, what to write instead, a text with it, and a text that may stay."""

    pattern: str
    instead: str
    found: str
    allowed: str = ""


PHRASES = (
    Phrase(
        r"\b(told|tells)\b", "publishes, reports, returns, sends, logs", "the queue tells of it", "tell apart"
    ),
    Phrase(
        r"(?<![\"'`])\bnobody('s)?\b",
        "no principal, no caller, not … any",
        "nobody reads it",
        "the user `nobody`",
    ),
    Phrase(r"\bwhoever\b", "the caller, the one that", "whoever is first"),
    Phrase(r"\bsomebody('s)?\b", "a person, the caller, another account", "somebody else's bucket"),
    Phrase(r"\bfor good\b", "permanently", "it failed for\n    # good.", "good for all"),
    Phrase(r"\bbeside\b", "with, next to, in addition to", "the modules beside it", "besides"),
    Phrase(r"\bof another stack\b", "from another stack", "a bucket of another stack", "in another stack"),
    Phrase(
        r"(?<!let )(?<!leave )(?<!leaves )(?<!leave it )(?<!leave them )(?<!stand-)\balone\b",
        "only",
        "run that test alone",
        "leave it alone, let alone the others",
    ),
    Phrase(
        r"\bstands\b(?! (for|in for|out)\b)",
        "is",
        "what stands there",
        "it stands for a queue; it stands out",
    ),
    Phrase(r"\b(is|are) kept\b", "is stored, is retained, is sent to the failure queue", "the event is kept"),
    Phrase(r"\bpaid by request\b", "on-demand", "a table paid by request"),
    Phrase(r"\bon the way can read\b", "can be read in transit", "all hosts on the way can read it"),
    Phrase(r"\bwhat was sent and what came out\b", "Scenario", "What was sent and what came out"),
    Phrase(r"\bwhen something goes wrong\b", "Failure drill", "When something goes wrong"),
    Phrase(
        r"\bwhat goes wrong, and what happens then\b",
        "Failure modes",
        "What goes wrong, and what happens then",
    ),
    Phrase(r"\bnothing is left running\b", "all processes stopped", "Nothing is left running."),
    Phrase(r"\bthe shortest way past\b", "exercises each permission once", "the shortest way past them"),
    Phrase(r"\bpassed off as\b", "reported as", "never passed off as proven"),
    Phrase(
        r"\bthe least is more than the most\b",
        "minimum must not exceed maximum",
        "the least is more than the most",
    ),
    Phrase(
        r"\b(accepted and ignored in silence|accepted, not emulated)\b",
        "accepted but not emulated",
        "accepted, not emulated",
    ),
    Phrase(r"\b(let_in|open_ways)\b", "grant_connect, allow_endpoints", "network.let_in(function)"),
)


@cache
def compiled(phrase: Phrase) -> re.Pattern[str]:
    """The pattern, in any case; a space also matches the end of a line, with what begins a comment."""
    parts = re.split(r"(\(\?<![^)]*\))", phrase.pattern)  # the width of what must not come before is fixed
    spaced = [part if part.startswith("(?<!") else part.replace(" ", r"[\s#]+") for part in parts]
    return re.compile("".join(spaced), re.IGNORECASE)


@cache
def words(phrase: Phrase) -> set[str]:
    """The long words of a pattern. A text without any has no match, and this is much faster to find out."""
    return set(re.findall("[a-z_]{4,}", phrase.pattern.replace(r"\b", " ")))


def findings(name: str, text: str) -> list[str]:
    """Each phrase to avoid in a text or in its snake_case names, with its line and what to write instead."""
    lowered = text.lower()
    found = {
        (match.start(), " ".join(text[slice(*match.span())].split()), phrase.instead)
        for phrase in PHRASES
        if any(word in lowered for word in words(phrase))
        for variant in (text, text.replace("_", " "))
        for match in compiled(phrase).finditer(variant)
    }
    return [
        f"{name}:{text.count(chr(10), 0, at) + 1}: {what!r}: write {instead}"
        for at, what, instead in sorted(found)
    ]


def test_no_file_has_a_phrase_to_avoid() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name.endswith(_KINDS)]
    assert "tasks/checks.py" in names
    found = [
        line
        for name in names
        if name != _THIS and (ROOT / name).exists()
        for line in findings(name, (ROOT / name).read_text("utf-8"))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern)
def test_each_phrase_is_found_with_its_line_and_what_to_write_instead(phrase: Phrase) -> None:
    (found,) = findings("a.py", f"first line\n{phrase.found}\n")
    assert found.startswith("a.py:2: ")
    assert found.endswith(f": write {phrase.instead}")
    assert findings("a.py", phrase.allowed) == []
