"""A Dockerfile as instructions, each with its line, and a refusal for all that cannot be built here.

| Instruction | |
|---|---|
| `FROM` | `public.ecr.aws/lambda/python:TAG`, `scratch`, or an earlier stage; `--platform`, `AS` |
| `COPY` | from the context or, with `--from`, an earlier stage; `--chown=UID[:GID]`, `--chmod` |
| `RUN` | `pip install … --target FOLDER`: see `packages` |
| `ARG`, `ENV`, `LABEL`, `WORKDIR`, `USER`, `EXPOSE`, `CMD`, `ENTRYPOINT` | as in Docker |

Everything else is refused with its line and what to do instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_FLAG = re.compile(r"--([a-z]+)(?:=(\S+))?\s+")
_VARIABLE = r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?:(?P<operator>:[-+])(?P<word>[^}]*))?\}|\{)"
_IN_QUOTES = re.compile(rf"""\\(?P<escaped>["$\\])|{_VARIABLE}""")
_PART = re.compile(
    rf"""'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|\\(?P<escaped>.)|{_VARIABLE}""", re.DOTALL
)
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", re.DOTALL)
_DIRECTIVE = re.compile(r"#\s*(escape|syntax|check)\s*=\s*(\S+)\s*", re.IGNORECASE)

# Instructions of Docker that are not built here, and what to do instead.
_INSTEAD = {
    "ADD": "use COPY for files, and have the files of archives and URLs in the context",
    "HEALTHCHECK": "leave it out: Lambda ignores it",
    "MAINTAINER": "use LABEL",
    "ONBUILD": "write the instruction where it is needed",
    "SHELL": "leave it out: no shell runs here",
    "STOPSIGNAL": "leave it out: Lambda ignores it",
    "VOLUME": "leave it out: functions write to /tmp only",
}
_KNOWN = frozenset(
    ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "LABEL", "RUN", "USER", "WORKDIR")
)
_FLAGS = {"COPY": {"from", "chown", "chmod", "link"}, "FROM": {"platform"}}


class BuildError(Exception):
    """An image cannot be built; the message has the line, the instruction, and what to do."""


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        line: Its first line.
        keyword: In capitals.
        flags: Such as `from` of `COPY --from=builder`.
        rest: What follows the flags, as it is written.
        variables: What `$NAME` stands for.
    """

    line: int
    keyword: str
    flags: Mapping[str, str]
    rest: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def error(self, problem: str) -> BuildError:
        """What is wrong with it."""
        return BuildError(f"Dockerfile line {self.line}: {self.keyword} {self.rest}: {problem}")

    def _split(self) -> list[str]:
        """The words as they are written. Docker splits first, and replaces variables in each word."""
        words = _WORD.findall(self.rest)
        if _WORD.sub("", self.rest).strip():
            raise self.error("a quotation mark or an escape has no end")
        return words

    def text(self, raw: str | None = None) -> str:
        """The rest, or a part of it, without quotation marks and with the values of variables."""
        try:
            return substituted(self.rest if raw is None else raw, self.variables)
        except ValueError as error:
            raise self.error(str(error)) from None

    def words(self) -> list[str]:
        """The rest, as a JSON list or as words."""
        if (found := self.listed()) is not None:
            return found if self.keyword == "RUN" else [self.text(one) for one in found]
        words = list[str]()
        for word in self._split():
            # A shell splits the value of a variable, unless it is in quotation marks.
            splits = self.keyword in ("EXPOSE", "RUN") and "$" in word and not {"'", '"'} & set(word)
            words += self.text(word).split() if splits else [self.text(word)]
        return words

    def listed(self) -> list[str] | None:
        """The rest as a JSON list of strings; None if it is none."""
        if not self.rest.startswith("["):
            return None
        try:
            found = json.loads(self.rest)
        except ValueError:
            return None
        return found if all(isinstance(one, str) for one in found) else None

    def pairs(self) -> dict[str, str]:
        """The rest as `name=value` pairs, or as `name value`."""
        words = self._split()
        if all("=" in word for word in words):
            return dict(self.text(word).split("=", 1) for word in words)
        if self.keyword == "LABEL" or "=" in words[0] or len(words) == 1:
            raise self.error("give NAME=VALUE pairs")
        return {words[0]: self.text(self.rest.split(None, 1)[1])}

    def replaced(self, variables: Mapping[str, str]) -> Instruction:
        """The instruction with the values of variables in their places."""
        known = replace(self, variables=variables)
        return replace(known, flags={name: known.text(value) for name, value in self.flags.items()})


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """Drop quotation marks, and replace `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+value}`.

    An unknown name is empty; nothing is replaced in single quotes.
    """

    def value(found: re.Match[str]) -> str:
        if (name := found["plain"] or found["braced"]) is None:
            raise ValueError("there are $NAME, ${NAME}, ${NAME:-default} and ${NAME:+value} here")
        known = variables.get(name, "")
        word = substituted(found["word"] or "", variables)
        if found["operator"] == ":-":
            return known or word
        return word if found["operator"] == ":+" and known else "" if found["operator"] else known

    def part(found: re.Match[str]) -> str:
        if (inner := found["double"]) is not None:
            return _IN_QUOTES.sub(lambda one: one["escaped"] or value(one), inner)
        literal = found["single"] if found["single"] is not None else found["escaped"]
        return literal if literal is not None else value(found)

    return _PART.sub(part, text)


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile.

    Raises:
        BuildError: One of them cannot be built here, or the file has none.
    """
    lines, escape, found = text.removeprefix("\ufeff").splitlines(), "\\", list[Instruction]()
    number = 0
    while number < len(lines) and (directive := _DIRECTIVE.fullmatch(lines[number].strip())):
        if directive[1].lower() == "escape":
            escape = directive[2]
        number += 1
    while number < len(lines):
        first, joined, goes_on = number + 1, "", True
        while goes_on and number < len(lines):
            line = lines[number].rstrip()
            number += 1
            if line.lstrip().startswith("#") or (not line and joined):
                continue
            goes_on = line.endswith(escape)
            joined += line.removesuffix(escape) if goes_on else line
        if joined := joined.strip():
            found.append(_instruction(first, joined))
    if not any(one.keyword == "FROM" for one in found):
        raise BuildError("The Dockerfile has no FROM: start it with FROM public.ecr.aws/lambda/python:3.14")
    return found


def _instruction(line: int, text: str) -> Instruction:
    keyword, rest = [*text.split(None, 1), ""][:2]
    keyword, flags = keyword.upper(), dict[str, str]()
    while found := _FLAG.match(rest):
        if found[1] not in _FLAGS.get(keyword, ()) and keyword in ("COPY", "FROM", "RUN"):
            raise Instruction(line, keyword, {}, rest).error(
                f"--{found[1]} is not supported here; leave it out"
            )
        if keyword not in _FLAGS:
            break
        flags[found[1]] = found[2] or ""
        rest = rest[found.end() :]
    instruction = Instruction(line, keyword, flags, rest)
    if keyword in _INSTEAD:
        raise instruction.error(f"not supported here; {_INSTEAD[keyword]}")
    if keyword not in _KNOWN:
        raise instruction.error(f"there is no such instruction; there are {', '.join(sorted(_KNOWN))}")
    if not rest:
        raise instruction.error("it needs an argument")
    if "<<" in rest and keyword in ("RUN", "COPY"):
        raise instruction.error("heredocs are not supported here; use a file of the context")
    return instruction
