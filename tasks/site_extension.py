"""What the site asks of Sphinx: arguments as tables, links to the reference of the CDK and into the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]
_CDK = "https://docs.aws.amazon.com/cdk/api/v2/python"
# The fields that are shown as tables, by Sphinx's names for them: the heading, and that of the first column.
_TABLES = {"Parameters": ("Arguments", "argument"), "Variables": ("Attributes", "attribute")}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect with Sphinx."""
    app.connect("object-description-transform", _arguments_as_tables)
    app.connect("missing-reference", _link_to_the_cdk)
    app.connect("html-page-context", _link_into_the_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _arguments_as_tables(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    for field in list(content.findall(nodes.field)):
        title, first = _TABLES.get(field[0].astext(), ("", ""))
        body = field[1]
        if not title:
            continue
        found = body.next_node(nodes.bullet_list)
        items = [item.children for item in found] if found else [body.children]
        body.clear()
        body += _table(first, [_cells(item) for item in items])
        field[0].clear()
        field[0] += nodes.Text(title)


def _cells(item: Any) -> list[list[nodes.Node]]:
    """The name, type, default and description of an item ``name (type, default: value) -- description``."""
    line, *more = item
    cells: list[list[nodes.Node]] = [[], [], [], []]
    column = 0
    for node in line.children:
        text = node.astext()
        if column == 0 and text == " (":
            column = 1
        elif column == 1 and text.endswith(", default: "):
            cells[1] += [nodes.Text(text.removesuffix(", default: "))]
            column = 2
        elif column in (1, 2) and text == ")":
            column = 3
        elif column in (0, 3) and text == " -- ":
            column = 3
        else:
            cells[column].append(node)
    cells[3] = [nodes.paragraph("", "", *cells[3]), *more]
    return cells


def _table(first: str, rows: list[list[list[nodes.Node]]]) -> nodes.table:
    columns = [0, 1, 2, 3] if any(row[2] for row in rows) else [0, 1, 3]
    titles = [first, "type", "default", "description"]
    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    head = nodes.row("", *(nodes.entry("", nodes.paragraph("", titles[number])) for number in columns))
    group += nodes.thead("", head)
    body = nodes.tbody()
    for row in rows:
        line = nodes.row()
        for number in columns:
            cell = row[number]
            line += nodes.entry("", *(cell if number == 3 else [nodes.paragraph("", "", *cell)]))
        body += line
    group += body
    return nodes.table("", group, classes=["arguments"])


def _link_to_the_cdk(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """A class of the CDK or of its `constructs` leads to its page in the CDK's reference."""
    module, _, name = str(node.get("reftarget", "")).rpartition(".")
    if module.partition(".")[0] not in ("aws_cdk", "constructs"):
        return None
    return nodes.reference("", "", text, refuri=f"{_CDK}/{module}/{name}.html", internal=False)


def _link_into_the_repository(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Where the source of a page is: the page itself, or the module that it documents."""
    path = f"{page}.md"
    if page.startswith("api/"):
        module = page.removeprefix("api/")
        choices = (f"constructs/cdk_lambda_patterns/{module}", f"localaws/src/{module}")
        path = next((p for choice in choices for p in (f"{choice}.py", choice) if (ROOT / p).exists()), "")
    if path and (ROOT / path).exists():
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        context["in_repository"] = f"{REPOSITORY}/{kind}/main/{path}"
