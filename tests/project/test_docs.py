"""The generated parts of the pages: true today, and noticed when they no longer are."""

from pathlib import Path
from typing import Any

import pytest

from stacks.catalogue import ARCHITECTURES
from tasks import docs
from tasks.synthesis import templates
from tasks.template_facts import Permission, TemplateFacts


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("docs")
    return templates([ARCHITECTURES[0]], folder)[ARCHITECTURES[0].id]


@pytest.fixture
def facts(template: dict[str, Any]) -> TemplateFacts:
    return TemplateFacts(template)


def test_no_page_is_stale() -> None:
    stale = [path.name for path, text in docs.generate().items() if path.read_text() != text]
    assert not stale, "run `python3 run.py docs` and commit what it writes"


def test_a_page_that_somebody_edited_or_outdated_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: catalogue -->\n| an old row |\n<!-- end -->\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(
        docs, "generate", lambda: {page: docs.fill(page.read_text(), {"catalogue": docs.catalogue_table})}
    )
    assert docs.main(["--check"]) == 1
    assert "stale: page.md" in capsys.readouterr().out
    assert docs.main([]) == 0
    assert "| an old row |" not in page.read_text()
    assert docs.main(["--check"]) == 0


def test_a_part_that_nothing_generates_is_an_error() -> None:
    with pytest.raises(LookupError, match="generated: prices -->: there is catalogue"):
        docs.fill("<!-- generated: prices -->\n<!-- end -->", {"catalogue": str})


def test_a_permission_without_a_reason_is_an_error(facts: TemplateFacts) -> None:
    with pytest.raises(LookupError, match=r"has no reason: write it into docs/permissions\.toml"):
        docs.permissions_table(facts, {})


def test_the_permissions_are_those_of_the_template(facts: TemplateFacts) -> None:
    permissions = facts.permissions()
    reading = Permission("Thumbnailer/Function/ServiceRole", "s3:GetObject", "Thumbnailer/Source/photos/*")
    assert reading in permissions
    assert len({permission.role for permission in permissions}) == 3


def test_the_diagram_shows_what_triggers_and_what_is_reached(facts: TemplateFacts) -> None:
    diagram = facts.diagram()
    assert '[["Lambda: Function"]]' in diagram
    assert "-->|ObjectCreated, ObjectRemoved, LifecycleExpiration|" in diagram
    assert "-->|DeleteObject, PutObject|" in diagram
    assert "-.->|on failure|" in diagram
    assert "BucketNotificationsHandler" not in diagram  # works while deploying only
