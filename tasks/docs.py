"""Writes the parts of the pages that the templates know: ``run.py docs``; ``--check`` only compares.

A page holds pairs of comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``. What stands between them
is replaced; everything else is written by people. ``docs/permissions.toml`` says why each action of each
role is needed, and an action without a reason is an error.
"""

import argparse
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from stacks.catalogue import ARCHITECTURES, Architecture
from tasks.bridges import bridges_table
from tasks.synthesis import ROOT, templates
from tasks.template_facts import TemplateFacts

_GENERATED = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Write the generated parts, or with ``--check`` tell which are stale."""
    parser = argparse.ArgumentParser(prog="run.py docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is stale")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in generate().items() if path.read_text() != text}
    for path, text in stale.items():
        if not check:
            path.write_text(text)
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    if check and stale:
        print("Run 'python3 run.py docs' and commit what it writes.", file=sys.stderr)
        return 1
    return 0


def generate() -> dict[Path, str]:
    """Return the text that each page should have.

    Raises:
        LookupError: A page has a part that nothing generates, or an action has no reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        facts = {
            name: TemplateFacts(template) for name, template in templates(ARCHITECTURES, Path(folder)).items()
        }
    readme = ROOT / "README.md"
    pages = {readme: fill(readme.read_text(), {"catalogue": catalogue_table})}
    embedded_aws = ROOT / "docs" / "embedded-aws.md"
    pages[embedded_aws] = fill(embedded_aws.read_text(), {"bridges": bridges_table})
    for architecture in ARCHITECTURES:
        page = ROOT / "docs" / architecture.family / f"{architecture.id}.md"
        pages[page] = fill(page.read_text(), _parts(architecture, facts[architecture.id]))
    return pages


def fill(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Replace each generated part of a page.

    Raises:
        LookupError: The page names a part that nothing generates.
    """

    def replace(match: re.Match[str]) -> str:
        if match["name"] not in parts:
            raise LookupError(f"<!-- generated: {match['name']} -->: there is {', '.join(parts)}.")
        return f"{match[1]}{parts[match['name']]()}\n{match[4]}"

    return _GENERATED.sub(replace, text)


def catalogue_table() -> str:
    """The rows of the catalogue for the README."""
    rows = [
        f"| [`{row.id}`](docs/{row.family}/{row.id}.md) | {row.title} | {row.shows} |"
        for row in ARCHITECTURES
    ]
    return "\n".join(["| id | architecture | what a run shows |", "|---|---|---|", *rows])


def permissions_table(facts: TemplateFacts, reasons: dict[str, str]) -> str:
    """Each role's actions with the reason of each.

    Args:
        facts: What the template knows.
        reasons: Why, by action.

    Raises:
        LookupError: An action has no reason.
    """
    rows = []
    for allowed in facts.permissions():
        if allowed.action not in reasons:
            raise LookupError(
                f"{allowed.action} of {allowed.role} has no reason: write it into docs/permissions.toml."
            )
        why = reasons[allowed.action]
        rows.append(f"| {allowed.role} | `{allowed.action}` | `{allowed.resource}` | {why} |")
    return "\n".join(["| role | action | on | why |", "|---|---|---|---|", *rows])


def _parts(architecture: Architecture, facts: TemplateFacts) -> dict[str, Callable[[], str]]:
    return {
        "diagram": lambda: f"```mermaid\n{facts.diagram()}\n```",
        "resources": lambda: _resources_table(facts),
        "permissions": lambda: permissions_table(facts, _reasons(architecture)),
    }


def _resources_table(facts: TemplateFacts) -> str:
    rows = [f"| {path} | `{kind}` | {deletion} |" for path, kind, deletion in facts.resources()]
    return "\n".join(["| resource | type | when the demo stack is deleted |", "|---|---|---|", *rows])


def _reasons(architecture: Architecture) -> dict[str, str]:
    tables = tomllib.loads((ROOT / "docs" / "permissions.toml").read_text())
    return {**tables["common"], **tables.get(architecture.id, {})}


if __name__ == "__main__":
    sys.exit(main())
