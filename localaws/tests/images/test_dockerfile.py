"""Instructions: what is read of a Dockerfile, and what is refused with its line."""

from pathlib import Path

import pytest

from localaws.images.build import Build
from localaws.images.context import pattern
from localaws.images.dockerfile import BuildError, parse, substituted
from localaws.images.packages import SITE_PACKAGES, Installation
from localaws.images.store import Store

_BASE = "FROM public.ecr.aws/lambda/python:3.14\n"


def test_lines_are_joined_and_comments_left_out() -> None:
    text = '# syntax=docker/dockerfile:1\n\nFROM scratch AS a\nENV A=1 \\\n  # why\n  B=2\ncmd [ "x" ]\n'
    found = [(one.line, one.keyword, one.rest) for one in parse(text)]
    assert found == [(3, "FROM", "scratch AS a"), (4, "ENV", "A=1   B=2"), (7, "CMD", '[ "x" ]')]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("FROM\tscratch AS a\n", "scratch AS a"),
        ("\ufeffFROM scratch\n", "scratch"),
        ("FROM scratch\\\n AS a\n", "scratch AS a"),
        (" FROM  scratch \\ \n\n# x\n", "scratch"),
    ],
)
def test_blanks_and_marks(text: str, rest: str) -> None:
    assert [(one.keyword, one.rest) for one in parse(text)] == [("FROM", rest)]


def test_another_escape_character() -> None:
    assert [one.rest for one in parse("# escape=`\nFROM `\n scratch\n")] == ["scratch"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/${A}", "1/1"),
        ("${B:-2}${A:-2}", "21"),
        ("${A:+yes}${B:+yes}", "yes"),
        (r"\$A$B", "$A"),
        ("'$A'\"$A'\\$A\\x\"", "$A1'$A\\x"),
        ("${B:-'$A'$A}", "$A1"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    assert substituted(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("ADD https://example.com/x.tar /x", "line 2: ADD .*: not supported here; use COPY"),
        ("HEALTHCHECK NONE", "line 2: HEALTHCHECK NONE: not supported"),
        ("FETCH x", "there is no such instruction"),
        ("RUN yum install -y gcc", "line 2: RUN yum install -y gcc: only packages can be installed here"),
        ("RUN pip install x && rm -r /x", "no shell runs here"),
        ("RUN pip install x > log", "no shell runs here"),
        ('RUN pip install "x$(id)"', "no shell runs here"),
        ("RUN pip install 'x' ; true", "no shell runs here"),
        ("RUN pip install --editable x", "unrecognized arguments: --editable"),
        ("RUN pip install ./x", "is no package of an index"),
        ("RUN pip install", "names no package"),
        ("RUN pip download x", "only packages"),
        (
            "RUN pip install -r requirements.txt",
            "there is no /var/task/requirements.txt in the image; COPY it",
        ),
        ("RUN --mount=type=cache,target=/x pip install x", "--mount is not supported here"),
        ("RUN <<EOF\nEOF", "heredocs are not supported"),
        (
            "FROM python:3.14",
            "line 2: FROM python:3.14: python:3.14 cannot be fetched here; use public.ecr.aws",
        ),
        ("FROM --platform=windows/amd64 scratch", "platform windows/amd64: Lambda runs linux/amd64 and"),
        ("FROM scratch AS", "write FROM IMAGE, or FROM IMAGE AS NAME"),
        ("COPY nowhere /x", "nowhere is not in the build context"),
        ("COPY ../x /x", "outside the build context"),
        ("COPY a b", "a is not in the build context"),
        ("COPY x", "write COPY SOURCE"),
        ("COPY --from=nowhere a b", "--from=nowhere: there is no such earlier stage"),
        ("COPY --chown=app a.py b", "--chown=app: give numbers"),
        ("COPY --chmod=rw a.py b", "--chmod=rw: give permissions as an octal number"),
        ("COPY a.py b.py /folder", "must be a folder and end with /"),
        ("ENV A='x", "a quotation mark or an escape has no end"),
        ("ENV A=${B%x}", "there are .NAME,"),
        ("ENV A", "give NAME=VALUE pairs"),
        ("CMD", "it needs an argument"),
    ],
)
def test_refused(rest: str, said: str, tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "Dockerfile").write_text(f"{_BASE}{rest}\n")
    with pytest.raises(BuildError, match=said):
        Build(tmp_path, Store(tmp_path / "store")).run()


@pytest.mark.parametrize("package", ['"idna>=3,<4"', "'idna>=3'", r"idna\>=3", "\"x; python_version<'4'\""])
def test_versions_in_quotes_are_no_redirections(package: str) -> None:
    (step,) = parse(f"{_BASE}RUN pip install {package}")[1:]
    assert Installation(step, {}, "/").target == SITE_PACKAGES


def test_a_shell_splits_the_value_of_a_variable() -> None:
    (step,) = parse(f"{_BASE}RUN pip install idna$V \"x$V\" '$V'")[1:]
    assert step.replaced({"V": ">=3 y"}).words()[2:] == ["idna>=3", "y", "x>=3 y", "$V"]
    assert Installation(step.replaced({"V": "<4"}), {}, "/").target == SITE_PACKAGES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no FROM"),
        ("# nothing\n", "has no FROM"),
        ("ENV A=1\nFROM scratch\n", "only ARG may be before"),
    ],
)
def test_a_file_without_a_base(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(BuildError, match=said):
        Build(tmp_path, Store(tmp_path / "store")).run()


@pytest.mark.parametrize(
    ("rule", "fits", "not_"),
    [
        ("*.md", ["a.md"], ["b/a.md", "a.mdx"]),
        ("**/*.md", ["a.md", "b/c/a.md"], ["a.txt"]),
        ("b/**", ["b/c", "b/c/d"], ["b"]),
        ("b?", ["b1"], ["b", "b/"]),
        ("[ab].py", ["a.py"], ["c.py"]),
    ],
)
def test_patterns(rule: str, fits: list[str], not_: list[str]) -> None:
    assert [one for one in [*fits, *not_] if pattern(rule).fullmatch(one)] == fits
