"""Writes the parts of the pages that the templates know, and draws the pictures: ``run.py docs``.

With ``--check`` it only compares, and draws nothing: each picture has the graph that it shows in it.

A page holds pairs of comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``. The text between them is
generated, and people write the rest. ``docs/permissions.toml`` has a reason for each action of each role; an
action without a reason is an error. What is the same for every architecture is on one page of its own.
"""

import functools
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from stacks.catalogue import ARCHITECTURES, Architecture, Proof
from tasks import catalogue_facts, console, costs
from tasks.bridges import bridges_table, types_table
from tasks.commands import parse
from tasks.foreign_apps import apps_table
from tasks.pictures.drawing import draw, recorded
from tasks.pictures.graph import Graph, graph_of
from tasks.synthesis import ROOT, read_templates, templates
from tasks.template_facts import Permission, TemplateFacts

_GENERATED = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HASH = re.compile(r"[0-9a-f]{32}")
_COMMON = "common-permissions.md"


def main(arguments: list[str]) -> int:
    """Write the generated parts, or with ``--check`` report which are out of date."""
    check = parse("docs", arguments).check
    facts = facts_of_all()
    texts = {path: text for path, text in generate(facts).items() if path.read_text("utf-8") != text}
    if check:
        stale = [*texts, *stale_pictures(facts)]
    else:
        drawn = draw_pictures(facts)
        texts |= {
            path: svg for path, svg in drawn.items() if not path.exists() or path.read_text("utf-8") != svg
        }
        stale = list(texts)
        for path, text in texts.items():
            path.write_text(text, "utf-8")
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    if check and stale:
        print("Run 'python3 run.py docs' and commit what it writes.", file=sys.stderr)
        return 1
    return 0


def facts_of_all(assembly: Path | None = None) -> dict[str, TemplateFacts]:
    """What the template of each architecture says, by its id.

    Args:
        assembly: A cloud assembly of all stacks by the CLI. Default: they are synthesised here.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = read_templates(assembly) if assembly else templates(ARCHITECTURES, Path(folder))
    return {row.id: TemplateFacts(made[row.id]) for row in ARCHITECTURES}


def picture_of(architecture: Architecture) -> Path:
    """The file with the picture of an architecture, next to its page."""
    return ROOT / "docs" / architecture.family / f"{architecture.id}.svg"


def graph(architecture: Architecture, facts: TemplateFacts) -> Graph:
    """What the picture of an architecture should show.

    Raises:
        LookupError: ``docs/pictures.toml`` names what is not there.
    """
    declared = tomllib.loads((ROOT / "docs" / "pictures.toml").read_text("utf-8"))
    try:
        return graph_of(facts, declared.get(architecture.id, {}))
    except LookupError as error:
        raise LookupError(f"docs/pictures.toml: {architecture.id}: {error}") from error


def stale_pictures(facts: Mapping[str, TemplateFacts]) -> list[Path]:
    """The pictures that are missing, or show other parts, names or connections than the templates have."""
    return [
        path
        for row in ARCHITECTURES
        if not (path := picture_of(row)).exists()
        or recorded(path.read_text("utf-8")) != graph(row, facts[row.id]).as_json()
    ]


def draw_pictures(facts: Mapping[str, TemplateFacts]) -> dict[Path, str]:
    """The picture of each architecture.

    Raises:
        TaskError: They could not be laid out.
    """
    drawn = draw((row.title, graph(row, facts[row.id])) for row in ARCHITECTURES)
    return {picture_of(row): svg for row, svg in zip(ARCHITECTURES, drawn, strict=True)}


def generate(facts: Mapping[str, TemplateFacts]) -> dict[Path, str]:
    """Return the text that each page should have.

    Args:
        facts: What the template of each architecture says, by its id.

    Raises:
        LookupError: A page has a part that nothing generates, or an action has no reason.
    """
    made = {name: one.template for name, one in facts.items()}
    of_all: dict[str, dict[str, Callable[[], str]]] = {
        "README.md": {"catalogue": catalogue_table},
        f"docs/{_COMMON}": {"permissions": lambda: common_table(facts.values(), _reasons())},
        "docs/costs.md": {
            "comparison": lambda: costs.comparison(made),
            "prices": costs.price_table,
        },
        "docs/embedded-aws.md": {"bridges": bridges_table},
        "docs/embedded-aws-types.md": {"types": types_table},
        "localaws/README.md": {"apps": apps_table},
    }
    made = {name: one.template for name, one in facts.items()}
    pages = {ROOT / name: fill((ROOT / name).read_text(), parts) for name, parts in of_all.items()}
    found = {
        row.id: {
            "services": catalogue_facts.services(made[row.id]),
            "triggers": catalogue_facts.triggers(made[row.id]),
        }
        for row in ARCHITECTURES
    }
    pages[ROOT / "docs" / "catalogue.json"] = f"{json.dumps(found, indent=1)}\n"
    for architecture in ARCHITECTURES:
        page = ROOT / "docs" / architecture.family / f"{architecture.id}.md"
        parts = _parts(architecture, facts[architecture.id])
        parts["costs"] = partial(costs.section, architecture, made[architecture.id])
        pages[page] = fill(page.read_text(), parts)
    return pages


def fill(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Replace each generated part of a page.

    Raises:
        LookupError: The page names a part that nothing generates.
    """

    def replace(match: re.Match[str]) -> str:
        if match["name"] not in parts:
            raise LookupError(f"<!-- generated: {match['name']} -->: there is only {', '.join(parts)}.")
        return f"{match[1]}{parts[match['name']]()}\n{match[4]}"

    return _GENERATED.sub(replace, text)


def catalogue_table() -> str:
    """The rows of the catalogue for the README."""
    rows = [
        f"| [`{row.id}`](docs/{row.family}/{row.id}.md) | {row.title} | {row.shows} | {row.proof} |"
        for row in ARCHITECTURES
    ]
    return "\n".join(["| id | architecture | what a run shows | proof |", "|---|---|---|---|", *rows])


def permissions_table(facts: TemplateFacts, reasons: dict[str, str]) -> str:
    """Each role's actions with the reason of each, without those that every architecture has.

    Args:
        facts: What the template says.
        reasons: Why, by action.

    Raises:
        LookupError: An action has no reason.
    """
    rows = [
        f"| {one.role} | `{one.action}` | `{one.resource}` | {_reason(one, reasons)} |"
        for one in facts.permissions()
        if not _is_common(facts, one)
    ]
    table = ["| role | action | on | why |", "|---|---|---|---|", *rows]
    return "\n".join(
        [
            *_folded(f"{len(rows)} permissions", table),
            "",
            "Not listed: what every function needs for its logs and traces, and the roles of the CDK's own",
            f"functions. [Common permissions](../{_COMMON}) has them.",
        ]
    )


def common_table(all_facts: Iterable[TemplateFacts], reasons: dict[str, str]) -> str:
    """The permissions that the pages of the architectures leave out.

    Args:
        all_facts: What the template of each architecture says.
        reasons: Why, by action.

    Raises:
        LookupError: An action has no reason.
    """
    rows = {
        f"| {_HASH.sub('', one.role) if facts.is_of_cdk(one.role) else 'each function'} | `{one.action}` "
        f"| {_reason(one, reasons)} |"
        for facts in all_facts
        for one in facts.permissions()
        if _is_common(facts, one)
    }
    return "\n".join(["| role | action | why |", "|---|---|---|", *sorted(rows)])


# What a page says about how much of it runs on the embedded AWS, unless all of it does.
_PROOFS: dict[Proof, list[str]] = {
    "run": [],
    "sent": [
        "",
        "**Proof level: sent.** The embedded AWS does not have the service that sends the event. Its",
        "documented event is",
        "[delivered as that service](../../localaws/README.md#events-of-services-that-are-not-emulated)",
        "does it: deployment, permissions, handler and failure path are proven, and what the service",
        "itself does is not, unless this page says how.",
    ],
    "synthesised": [
        "",
        "**Proof level: synthesised.** None of it can run on the embedded AWS: only the template is proven.",
    ],
}


def links(architecture: Architecture, root: Path = ROOT) -> str:
    """Links from a page to the files of the architecture, and how much of it is proven.

    Raises:
        LookupError: One of them does not exist.
    """
    family, module = architecture.family, architecture.module
    places = {
        "construct": f"constructs/cdk_lambda_patterns/{family}/{module}",
        "handler": f"lambda_src/{family}/{module}/handler",
        "stack": f"stacks/{family}/{module}",
    }
    if list(root.glob(f"lambda_src/{family}/{module}/*/handler.py")):  # several services, each in its folder
        places["handler"] = f"lambda_src/{family}/{module}"
    if not architecture.has_construct:
        del places["construct"]
    if architecture.has_scenario:
        places["scenario"] = f"scenarios/{family}/{module}"
    found = {}
    for name, place in places.items():
        choices = [path for path in (f"{place}.py", place) if (root / path).exists()]
        if not choices:
            raise LookupError(f"{architecture.id}: there is neither {place}.py nor a folder {place}.")
        found[name] = choices[0]
    sources = "Source: " + ", ".join(f"[{name}](../../{path})" for name, path in found.items())
    return "\n".join([sources, *_PROOFS[architecture.proof]])


def _parts(architecture: Architecture, facts: TemplateFacts) -> dict[str, Callable[[], str]]:
    return {
        "links": lambda: links(architecture),
        "diagram": lambda: f"![{architecture.title}]({picture_of(architecture).name})",
        "resources": lambda: _resources_table(facts),
        "permissions": lambda: permissions_table(facts, _reasons(architecture)),
    }


def _resources_table(facts: TemplateFacts) -> str:
    rows = [f"| {path} | `{kind}` | {deletion} |" for path, kind, deletion in facts.resources()]
    table = ["| resource | type | when the demo stack is deleted |", "|---|---|---|", *rows]
    return "\n".join(_folded(f"{len(rows)} resources", table))


def _folded(title: str, lines: list[str]) -> list[str]:
    """Lines that a reader unfolds with a click on their title."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _is_common(facts: TemplateFacts, permission: Permission) -> bool:
    """Whether every architecture with such a part has the permission, so that it is described only once."""
    of_api_gateway = permission.role.endswith("/CloudWatchRole")  # not of a function
    is_usual = permission.action in _tables()["common"] and not of_api_gateway
    return is_usual or facts.is_of_cdk(permission.role)


def _reason(permission: Permission, reasons: dict[str, str]) -> str:
    for name in (f"{permission.role} {permission.action}", permission.action):
        if name in reasons:
            return reasons[name]
    raise LookupError(
        f"{permission.action} of {permission.role} has no reason: write it into docs/permissions.toml."
    )


def _reasons(architecture: Architecture | None = None) -> dict[str, str]:
    """The reasons, by action or by role and action: the common ones, and those of a row or of the CDK."""
    tables = _tables()
    return {**tables["common"], **tables.get(architecture.id if architecture else "cdk", {})}


@functools.cache  # read for each permission of each page
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "docs" / "permissions.toml").read_text())


if __name__ == "__main__":
    console.start(main)
