"""Builds the documentation site: ``run.py site``.

The sources are what is there: the pages as they are on GitHub, the catalogue, ``docs/catalogue.json`` and the
docstrings. They are copied to ``.cache/site`` at the same paths, so that links between pages are the same in
both places; links to other files lead into the repository. A link that leads nowhere is an error.

Why Sphinx, on 2026-11-28: MkDocs has had no release since August 2024; Material for MkDocs was to get fixes
until November 2026 only (https://github.com/squidfunk/mkdocs-material/issues/8523); Zensical, by the same
authors, is at 0.1 and calls its API reference preliminary
(https://zensical.org/docs/setup/extensions/mkdocstrings). Sphinx, MyST and the PyData theme all had releases
in the last two months, the docstrings are written for Sphinx, its search works from a folder because its
index is a script, and the theme is tested with axe by its authors.
"""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shutil
import sys
import warnings
import webbrowser
from collections.abc import Iterable
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from textwrap import indent
from typing import Any

from PIL import Image
from sphinx.application import Sphinx
from sphinx.deprecation import RemovedInSphinx10Warning

from scenarios.support import browser
from stacks.catalogue import ARCHITECTURES, Architecture
from tasks import console
from tasks.commands import parse
from tasks.errors import TaskError
from tasks.site_extension import REPOSITORY, ROOT

OWN = ROOT / "docs" / "site"  # style sheet, script and templates
ABOUT_THE_EMBEDDED_AWS = ("localaws/README", "docs/embedded-aws", "docs/embedded-aws-types")
ABOUT_THE_PROJECT = ("docs/development", "benchmarks/README", "CONTRIBUTING", "SECURITY", "CHANGELOG")
PICTURES = {"site-start": "index.html", "site-architecture": "docs/messaging/sqs-consumer.html"}
LIBRARY = "cdk_lambda_patterns"
_FAMILIES = {"data": "Databases and networks", "events": "Events and schedules", "workflow": "Workflows"}
_LINK = re.compile(
    r"(?P<text>(?P<image>!?)\[[^]]*\])\((?!https?:|mailto:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
)
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Build the site; 1 if a link leads nowhere or something else is wrong with a page."""
    options = parse("site", arguments)
    folder = Path(options.out).resolve() if options.out else ROOT / "build" / "site"
    if folder.exists() and not folder.is_dir():
        print(f"run.py: --out {options.out} is a file; name the folder for the site.", file=sys.stderr)
        return 2
    try:
        built = build(folder)
    except TaskError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    if not built:
        print("run.py: the site has the faults that are listed above.", file=sys.stderr)
        return 1
    start = folder / "index.html"
    print(f"Open {start.as_uri()}")
    if options.pictures and not take_pictures(folder):
        print(f"run.py: there is no browser for the pictures: {browser.HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    if options.open and not webbrowser.open(start.as_uri()):
        print("run.py: no browser can be started here.", file=sys.stderr)
    return 0


def build(folder: Path) -> bool:
    """Build the site in a folder; what is wrong is printed. A second build writes only what has changed."""
    sources = ROOT / ".cache" / "site" / "sources"
    kept = sources.with_name("doctrees")
    stage(sources)
    # sphinx-autodoc-typehints 3.6, the newest for Sphinx 9.0, is older than that.
    warnings.filterwarnings("ignore", category=RemovedInSphinx10Warning)
    app = Sphinx(
        srcdir=sources,
        confdir=None,
        outdir=folder,
        doctreedir=kept,
        buildername="html",
        confoverrides=settings(),
        status=None,
        warningiserror=True,
    )
    app.build()
    (folder / "_static" / "webpack-macros.html").unlink(missing_ok=True)  # a template of the theme, no page
    if app.statuscode:
        shutil.rmtree(kept)  # or the next build would not report what is wrong with pages that did not change
    return not app.statuscode


def take_pictures(folder: Path) -> bool:
    """Take the pictures of the built site that README.md shows; false if there is no browser here."""
    found = browser.programs()
    if found is None:
        return False
    with browser.running(found, width=1280, height=1000) as window:
        for name, page in PICTURES.items():
            window.open((folder / page).as_uri())
            file = window.picture(ROOT / "docs" / "images" / f"{name}.png")
            with Image.open(file) as picture:  # text and flat colours need no more than 64
                small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
            small.save(file, optimize=True)
            print(f"written: {file.relative_to(ROOT)}")
    return True


def settings() -> dict[str, Any]:
    """Sphinx's configuration."""
    return {
        "project": "cdk-lambda-patterns",
        "copyright": "the cdk-lambda-patterns maintainers, Apache 2.0",
        "extensions": [
            "myst_parser",
            "sphinx.ext.autodoc",
            "sphinx.ext.napoleon",
            "sphinx_autodoc_typehints",
            "sphinx_copybutton",
            "tasks.site_extension",
        ],
        "root_doc": "index",
        "language": "en",
        "default_role": "code",
        "myst_heading_anchors": 4,
        "napoleon_use_ivar": True,
        "typehints_defaults": "comma",
        "typehints_document_rtype": True,
        "typehints_use_signature": False,
        "autodoc_class_signature": "mixed",
        "autodoc_member_order": "bysource",
        "add_module_names": False,
        "toc_object_entries_show_parents": "hide",
        "copybutton_prompt_text": r"\$ |\(embedded AWS\) \$ ",
        "copybutton_prompt_is_regexp": True,
        "html_theme": "pydata_sphinx_theme",
        "html_title": "cdk-lambda-patterns",
        "html_logo": str(OWN / "static" / "lambda.svg"),
        "html_favicon": str(OWN / "static" / "lambda.svg"),
        "html_static_path": [str(OWN / "static")],
        "html_css_files": ["site.css"],
        "html_js_files": [("catalogue.js", {"defer": ""})],
        "html_show_search_summary": False,  # it would fetch pages, which a browser refuses for files
        "html_use_index": False,  # the search finds names
        "html_domain_indices": False,
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_sidebars": {"index": [], "README": []},
        "html_context": {"default_mode": "auto"},
        "templates_path": [str(OWN / "templates")],
        "html_theme_options": {
            "logo": {"text": "cdk-lambda-patterns", "alt_text": ""},
            "icon_links": [{"name": "Repository", "url": REPOSITORY, "icon": "fa-brands fa-github"}],
            "secondary_sidebar_items": ["page-toc", "open-in-repository"],
            "header_links_before_dropdown": 6,
            "show_toc_level": 2,
            "navigation_depth": 3,
            "footer_start": ["copyright"],
            "footer_end": [],
        },
    }


def stage(folder: Path) -> None:
    """Make the sources of the site: the pages at their own paths, and those that only the site has."""
    wanted: dict[str, str | Path] = {}
    pages = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))}
    others = ("README", *ABOUT_THE_EMBEDDED_AWS, *ABOUT_THE_PROJECT)
    pages |= {f"{page}.md": ROOT / f"{page}.md" for page in others}
    for page, path in pages.items():
        text, pictures = adapt(path.read_text("utf-8"), page, set(pages))
        wanted[page] = text
        wanted |= {picture: ROOT / picture for picture in pictures}
    api = api_pages()
    for row in ARCHITECTURES:
        page = f"docs/{row.family}/{row.id}.md"
        if (module := f"api/{row.family}/{row.module}.rst") in api:
            wanted[page] = str(wanted[page]).replace(
                "\nSource: ", f"\n[API reference](/{module}). Source: ", 1
            )
    wanted |= api
    wanted["index.md"] = start_page()
    wanted["architectures.md"] = architectures_page()
    wanted["embedded-aws.md"] = section("The embedded AWS", ABOUT_THE_EMBEDDED_AWS)
    wanted["project.md"] = section("Project", ABOUT_THE_PROJECT)
    _write(folder, wanted)


def adapt(text: str, page: str, pages: Iterable[str]) -> tuple[str, set[str]]:
    """Make a page's links lead into the repository where the site has no such page.

    Args:
        text: The page, in Markdown.
        page: Its path in the repository.
        pages: The paths of all pages.

    Returns:
        The page, and the paths of the pictures on it.
    """
    pictures = set()

    def replace(link: re.Match[str]) -> str:
        path = os.path.normpath(os.path.join(os.path.dirname(page), link["path"])).replace(os.sep, "/")  # noqa: PTH118, PTH120
        if not (ROOT / path).exists():
            return link[0]  # Sphinx reports it
        if link["image"]:
            pictures.add(path)
            return link[0]
        if path in pages:
            return link[0]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{link['text']}({REPOSITORY}/{kind}/main/{path}{link['anchor'] or ''})"

    return _LINK.sub(replace, text), pictures


def start_page() -> str:
    """The start page: the first words of README.md, and the catalogue as cards."""
    readme = (ROOT / "README.md").read_text("utf-8").partition("\n## ")[0]
    words = re.sub(r"```.*?```|!\[[^]]*\]\([^)]*\)", "", readme, flags=re.DOTALL).strip()
    rows = facts()
    parts = [
        words,
        '<p class="start-links"><a href="README.html">Get started</a> '
        '<a href="localaws/README.html">Test your own app</a> <a href="api/index.html">API reference</a></p>',
        _filters(rows),
    ]
    for family in families():
        cards = [_card(row, rows[row.id]) for row in ARCHITECTURES if row.family == family]
        parts.append(f'## {family_name(family)}\n\n<ul class="cards">\n{chr(10).join(cards)}\n</ul>')
    names = ("Get started <README>", "architectures", "embedded-aws", "API reference <api/index>", "project")
    without_contents = "---\nhtml_theme.sidebar_secondary.remove: true\n---"
    return "\n\n".join([without_contents, *parts, toctree(names, hidden=True)])


def _filters(rows: dict[str, dict[str, list[str]]]) -> str:
    """What chooses cards: hidden until the script shows it, which does the choosing."""
    choices: dict[str, set[str]] = {
        "service": {name for row in rows.values() for name in row["services"]},
        "trigger": {name for row in rows.values() for name in row["triggers"]},
        "proof": {row.proof for row in ARCHITECTURES},
    }
    lines = []
    for name, values in choices.items():
        options = "".join(
            f"<option>{html.escape(value)}</option>" for value in sorted(values, key=str.casefold)
        )
        label = {"service": "Service", "trigger": "Trigger", "proof": "Proof level"}[name]
        lines.append(
            f'<label>{label}<select name="{name}"><option value="">any</option>{options}</select></label>'
        )
    lines.append('<button type="reset">Clear</button><output aria-live="polite"></output>')
    return "\n".join(['<form class="catalogue-filter" hidden>', *lines, "</form>"])


def _card(row: Architecture, facts: dict[str, list[str]]) -> str:
    """A row of the catalogue as an item of a list, with what it can be chosen by."""
    title = html.escape(page_title(row))
    marks = [*facts["services"], f"proof: {row.proof}"]
    items = "".join(f"<li>{html.escape(mark)}</li>" for mark in marks)
    choices = {"service": facts["services"], "trigger": facts["triggers"], "proof": [str(row.proof)]}
    attributes = " ".join(f'data-{key}="{html.escape("|".join(value))}"' for key, value in choices.items())
    return "\n".join(
        [
            f"<li {attributes}>",
            f'<h3><a href="docs/{row.family}/{row.id}.html">{title}</a></h3>',
            f"<p>{html.escape(row.title)}</p>",
            f'<p class="shows">{html.escape(row.shows[:1].upper() + row.shows[1:])}.</p>',
            f'<ul class="marks" aria-label="Services and proof level">{items}</ul>',
            "</li>",
        ]
    )


def architectures_page() -> str:
    """All architectures by family: what the site's navigation is made of."""
    parts = [
        "# Architectures",
        "By family. The [start page](index.md) filters them by service, trigger and proof level.",
    ]
    for family in families():
        rows = [row for row in ARCHITECTURES if row.family == family]
        lines = [f"- [{page_title(row)}](docs/{family}/{row.id}.md): {row.title}" for row in rows]
        names = [f"docs/{family}/{row.id}" for row in rows]
        parts += [
            f"## {family_name(family)}",
            "\n".join(lines),
            toctree(names, hidden=True, caption=family_name(family)),
        ]
    listed = {*ABOUT_THE_EMBEDDED_AWS, *ABOUT_THE_PROJECT}
    more = [
        page for file in sorted((ROOT / "docs").glob("*.md")) if (page := f"docs/{file.stem}") not in listed
    ]
    parts += [
        "## For all of them",
        *(f"- [](/{page}.md)" for page in more),
        toctree(more, hidden=True, caption="For all of them"),
    ]
    return "\n\n".join(parts)


def section(title: str, pages: Iterable[str]) -> str:
    """A page that lists other pages."""
    return f"# {title}\n\n{toctree(pages)}"


def toctree(pages: Iterable[str], *, hidden: bool = False, caption: str = "") -> str:
    """Sphinx's directive that puts pages into the navigation."""
    options = [
        *([":hidden:"] if hidden else []),
        *([f":caption: {caption}"] if caption else []),
        ":maxdepth: 1",
    ]
    return "\n".join(["```{toctree}", *options, "", *pages, "```"])


def families() -> list[str]:
    """The families in the order of the catalogue."""
    return list(dict.fromkeys(row.family for row in ARCHITECTURES))


def family_name(family: str) -> str:
    """A family's name for people."""
    return _FAMILIES.get(family, family.capitalize())


def page_title(row: Architecture) -> str:
    """The heading of an architecture's page."""
    found = _TITLE.search((ROOT / "docs" / row.family / f"{row.id}.md").read_text("utf-8"))
    return found[1] if found else row.id


def facts() -> dict[str, dict[str, list[str]]]:
    """What `run.py docs` has found out about each architecture: its services and triggers.

    Raises:
        TaskError: It has not seen all of them.
    """
    found: dict[str, dict[str, list[str]]] = json.loads((ROOT / "docs" / "catalogue.json").read_text("utf-8"))
    if unknown := [row.id for row in ARCHITECTURES if row.id not in found]:
        raise TaskError(f"docs/catalogue.json lacks {', '.join(unknown)}: run `python3 run.py docs` first.")
    return found


def api_pages() -> dict[str, str]:
    """A page for each public module, and one that lists them; Sphinx fills them from the docstrings."""
    modules = public_modules()
    places = {module: module.removeprefix(f"{LIBRARY}.").replace(".", "/") for module in modules}
    parts = [
        _underlined("API reference", "="),
        "Every public class with its arguments, attributes and errors. The search finds each by its name.",
    ]
    for family in dict.fromkeys(place.rpartition("/")[0] for place in places.values()):
        mine = [module for module, place in places.items() if place.rpartition("/")[0] == family]
        caption = {"core": "Shared by all", "": "pytest-localaws"}.get(family) or family_name(family)
        rows = [f"{places[module].rpartition('/')[2]} <{places[module]}>" for module in mine]
        tree = [".. toctree::", "   :hidden:", f"   :caption: {caption}", "", *(f"   {row}" for row in rows)]
        names = [[f":py:obj:`~{module}.{name}`" for name in modules[module]] for module in mine]
        parts += [
            _underlined(caption, "-"),
            "\n".join(tree),
            "\n".join(f"- {', '.join(row)}" for row in names),
        ]
    return {
        "api/index.rst": "\n\n".join(parts),
        **{f"api/{place}.rst": _api_page(module, modules[module]) for module, place in places.items()},
    }


def _underlined(title: str, line: str) -> str:
    """A heading in reStructuredText."""
    return f"{title}\n{line * len(title)}"


def public_modules() -> dict[str, list[str]]:
    """The modules that users import from, with the public names of each."""
    found: dict[str, list[str]] = {}
    package = ROOT / "constructs" / LIBRARY
    for stub in [package / "__init__.pyi", *sorted(package.glob("*/__init__.pyi"))]:
        for statement in ast.parse(stub.read_text("utf-8")).body:
            if isinstance(statement, ast.ImportFrom):
                found.setdefault(str(statement.module), []).extend(alias.name for alias in statement.names)
    return {**found, "localaws": list(import_module("localaws").__all__)}


def _api_page(module: str, names: list[str]) -> str:
    """A page of the reference, in reStructuredText."""
    title = module.removeprefix(f"{LIBRARY}.")
    parts = [_underlined(title, "="), f".. module:: {module}"]
    public = LIBRARY if f"{LIBRARY}.core." in f"{module}." else module
    given = f"from {public} import {', '.join(names)}"
    if len(given) > 70:
        given = "\n".join([f"from {public} import (", *(f"    {name}," for name in names), ")"])
    parts.append(f".. code-block:: python\n\n{indent(given, '   ')}")
    page = f"docs/{title.replace('.', '/').replace('_', '-')}"
    if module == "localaws":
        parts.append("The fixtures, settings and marks of pytest, and how to start: :doc:`/localaws/README`.")
    elif (ROOT / f"{page}.md").exists():
        parts.append(f"How it works, permissions, costs, limits and failure modes: :doc:`/{page}`.")
    for name in names:
        value = getattr(import_module(module), name)
        kind = "class" if isclass(value) else "function" if isfunction(value) else "data"
        members = "\n   :members:" if kind == "class" else ""
        if kind == "class" and value.__bases__ != (object,):
            members += "\n   :show-inheritance:"
        parts.append(f".. auto{kind}:: {module}.{name}{members}")
    return "\n\n".join(parts)


def _write(folder: Path, wanted: dict[str, str | Path]) -> None:
    """Make a folder hold exactly these files; a file that is the same already keeps its date."""
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        if file.relative_to(folder).as_posix() not in wanted:
            file.unlink()
    for name, content in wanted.items():
        data = content.read_bytes() if isinstance(content, Path) else content.encode()
        file = folder / name
        if not file.exists() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


if __name__ == "__main__":
    console.start(main)
