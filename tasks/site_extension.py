"""What the site adds to Sphinx: arguments as tables, links to the CDK's reference and into the repository."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]
_CDK = "https://docs.aws.amazon.com/cdk/api/v2/python"
# The fields that are shown as tables, by Sphinx's names for them, with ours for one of it.
_TABLES = {"Parameters": "argument", "Variables": "attribute"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect with Sphinx."""
    app.connect("autodoc-process-docstring", _code_in_fences, priority=0)
    app.connect("doctree-read", _arguments_as_tables)
    app.connect("missing-reference", _link_to_the_cdk)
    app.connect("html-page-context", _empty_corners)
    app.connect("html-page-context", _link_into_the_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _code_in_fences(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Some docstrings have Markdown's fences around code."""
    inside, text = False, []
    for line in lines:
        before, fence, language = line.partition("```")
        if not fence:
            text.append(f"   {line}" if inside and line.strip() else line)
        else:
            inside = not inside
            text += [f"{before}.. code-block:: {language or 'text'}", ""] if inside else []
    lines[:] = text


def _arguments_as_tables(app: Sphinx, document: nodes.document) -> None:
    """Arguments are a list of `name (type, default: value) -- description`; a table is easier to scan."""
    for field in list(document.findall(nodes.field)):
        title = _TABLES.get(field[0].astext())
        if title is None:
            continue
        body = field[1]
        found = body.next_node(nodes.bullet_list)
        rows = [_row(item.children) for item in found] if found else [_row(body.children)]
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (1, 2)), cols=2)
        head = [nodes.entry("", nodes.paragraph("", text)) for text in (title, "description")]
        group += nodes.thead("", nodes.row("", *head))
        group += nodes.tbody("", *rows)
        body.clear()
        body += nodes.table("", group, classes=["arguments"])
        field[0].clear()
        field[0] += nodes.Text(f"{title.capitalize()}s")


def _row(item: Sequence[nodes.Node]) -> nodes.row:
    """A row of the table: the name with type and default below it, and the description."""
    line, *more = item
    parts: dict[str, list[nodes.Node]] = {"name": [], "kind": [], "default": [], "description": []}
    part = "name"
    for node in line.children:
        text = node.astext()
        if part == "name" and text == " (":
            part = "kind"
        elif part == "kind" and text.endswith(", default: "):
            parts[part].append(nodes.Text(text.removesuffix(", default: ")))
            part = "default"
        elif text in (")", " -- ", " – ") and not parts["description"]:  # noqa: RUF001
            part = "description"
        else:
            parts[part].append(node)
    if parts["default"]:
        parts["default"].insert(0, nodes.Text("default "))
    left = [
        nodes.paragraph("", "", *parts[name], classes=[name])
        for name in ("name", "kind", "default")
        if parts[name]
    ]
    return nodes.row(
        "", nodes.entry("", *left), nodes.entry("", nodes.paragraph("", "", *parts["description"]), *more)
    )


def _link_to_the_cdk(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """A class of the CDK or of its `constructs` leads to its page in the CDK's reference."""
    module, _, name = str(node.get("reftarget", "")).rpartition(".")
    if module.partition(".")[0] not in ("aws_cdk", "constructs"):
        return None
    return nodes.reference("", "", text, refuri=f"{_CDK}/{module}/{name}.html", internal=False)


def _empty_corners(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """The empty corner of a table is no heading: a screen reader would announce one without a name."""
    if "body" in context:
        context["body"] = re.sub(r'<th class="head[^"]*">(<p></p>)?</th>', "<td></td>", context["body"])


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
