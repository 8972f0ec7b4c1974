"""The generated parts of the pages agree with the templates, and a page that is out of date is found."""

import copy
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from stacks.catalogue import ARCHITECTURES, Proof
from tasks import docs
from tasks.checks import SHARED_ASSEMBLY
from tasks.synthesis import ROOT, read_templates, templates
from tasks.template_facts import Permission, TemplateFacts
from tests.deployed import synthesise_once


@pytest.fixture(scope="module")
def shared() -> Path | None:
    """The assembly of all stacks that `run.py test` makes for its deployments, if that is what runs."""
    folder = os.environ.get(SHARED_ASSEMBLY)
    return synthesise_once(Path(folder)) if folder else None


@pytest.fixture(scope="module")
def template(shared: Path | None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("docs")
    made = read_templates(shared) if shared else templates([ARCHITECTURES[0]], folder)
    return made[ARCHITECTURES[0].id]


@pytest.fixture
def facts(template: dict[str, Any]) -> TemplateFacts:
    return TemplateFacts(template)


@pytest.fixture(scope="module")
def of_all(shared: Path | None) -> dict[str, TemplateFacts]:
    return docs.facts_of_all(shared)


def test_every_page_is_up_to_date(of_all: dict[str, TemplateFacts]) -> None:
    stale = [path.name for path, text in docs.generate(of_all).items() if path.read_text() != text]
    assert not stale, "run `python3 run.py docs` and commit what it writes"


def test_every_picture_shows_what_the_template_has(of_all: dict[str, TemplateFacts]) -> None:
    stale = [path.name for path in docs.stale_pictures(of_all)]
    assert not stale, "run `python3 run.py docs` and commit what it writes"


def test_a_picture_is_stale_when_its_template_has_another_part(of_all: dict[str, TemplateFacts]) -> None:
    """Here a queue that nothing sends to; and a picture that was never drawn."""
    row = next(row for row in ARCHITECTURES if row.id == "sqs-consumer")
    template = copy.deepcopy(of_all[row.id].template)
    template["Resources"]["Another"] = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"RedrivePolicy": {"deadLetterTargetArn": {"Ref": "StandardQueue2484B335"}}},
    }
    assert docs.stale_pictures(of_all | {row.id: TemplateFacts(template)}) == [docs.picture_of(row)]


def test_every_part_of_a_picture_is_connected_and_no_two_of_a_service_have_one_name(
    of_all: dict[str, TemplateFacts],
) -> None:
    for row in ARCHITECTURES:
        graph = docs.graph(row, of_all[row.id])
        ends = {end for edge in graph.edges for end in (edge.source, edge.target)}
        assert {node.id for node in graph.nodes} == ends, row.id
        names = Counter((node.name, node.service) for node in graph.nodes)
        assert max(names.values()) == 1, (row.id, names)


@pytest.mark.full
def test_pictures_are_drawn_alike_everywhere(of_all: dict[str, TemplateFacts]) -> None:
    """Also those of another machine: positions and icons are those that are committed."""
    different = [
        path.name for path, svg in docs.draw_pictures(of_all).items() if path.read_text("utf-8") != svg
    ]
    assert not different, "run `python3 run.py docs` and commit what it writes"


def test_a_page_with_an_edited_or_outdated_part_is_reported_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: catalogue -->\n| an old row |\n<!-- end -->\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "facts_of_all", dict)
    monkeypatch.setattr(docs, "stale_pictures", list)
    monkeypatch.setattr(docs, "draw_pictures", dict)
    monkeypatch.setattr(
        docs, "generate", lambda _: {page: docs.fill(page.read_text(), {"catalogue": docs.catalogue_table})}
    )
    assert docs.main(["--check"]) == 1
    assert "stale: page.md" in capsys.readouterr().out
    assert docs.main([]) == 0
    assert "| an old row |" not in page.read_text()
    assert docs.main(["--check"]) == 0


def test_a_part_that_nothing_generates_is_an_error() -> None:
    with pytest.raises(LookupError, match="generated: prices -->: there is only catalogue"):
        docs.fill("<!-- generated: prices -->\n<!-- end -->", {"catalogue": str})


def test_a_permission_without_a_reason_is_an_error(facts: TemplateFacts) -> None:
    with pytest.raises(LookupError, match=r"has no reason: write it into docs/permissions\.toml"):
        docs.permissions_table(facts, {})


def test_a_reason_can_be_that_of_one_role(facts: TemplateFacts) -> None:
    reasons = {permission.action: "why" for permission in facts.permissions()}
    own = {"Thumbnailer/Function/ServiceRole s3:GetObject": "its own"}
    table = docs.permissions_table(facts, reasons | own)
    assert "`Thumbnailer/Source/photos/*` | its own |" in table
    assert table.count("| why |") == docs.permissions_table(facts, reasons).count("| why |") - 1


def test_the_permissions_are_those_of_the_template(facts: TemplateFacts) -> None:
    permissions = facts.permissions()
    reading = Permission("Thumbnailer/Function/ServiceRole", "s3:GetObject", "Thumbnailer/Source/photos/*")
    assert reading in permissions
    assert len({permission.role for permission in permissions}) == 3


def test_permissions_that_are_the_same_on_every_page_are_only_on_the_common_page(
    facts: TemplateFacts,
) -> None:
    reasons = {permission.action: "why" for permission in facts.permissions()}
    here, common = docs.permissions_table(facts, reasons), docs.common_table([facts], reasons)
    assert (
        "| Thumbnailer/Function/ServiceRole | `s3:GetObject` | `Thumbnailer/Source/photos/*` | why |" in here
    )
    for left_out in ("logs:", "xray:", "s3:PutBucketNotification", "BucketNotificationsHandler", "Custom::"):
        assert left_out not in here
        assert left_out in common
    assert "s3:GetObject" not in common
    assert "| BucketNotificationsHandler/Role | `s3:PutBucketNotification` | why |" in common
    assert "(../common-permissions.md)" in here
    with pytest.raises(LookupError, match="has no reason"):
        docs.common_table([facts], {})


def test_long_tables_are_folded(facts: TemplateFacts) -> None:
    reasons = {permission.action: "why" for permission in facts.permissions()}
    for table in (docs.permissions_table(facts, reasons), docs._resources_table(facts)):
        assert re.match(r"<details><summary>\d+ (permissions|resources)</summary>\n\n\|", table)
        assert "|\n\n</details>" in table


@pytest.mark.parametrize("folder", [False, True])
def test_a_page_links_its_construct_handler_stack_and_scenario(tmp_path: Path, folder: bool) -> None:
    row = ARCHITECTURES[0]
    inside = f"{row.family}/{row.module}"
    for name in (f"lambda_src/{inside}/handler.py", f"stacks/{inside}.py", f"scenarios/{inside}.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(LookupError, match="there is neither constructs"):
        docs.links(row, tmp_path)
    construct = f"constructs/cdk_lambda_patterns/{inside}{'' if folder else '.py'}"
    (tmp_path / construct).parent.mkdir(parents=True)
    (tmp_path / construct).mkdir() if folder else (tmp_path / construct).touch()
    assert docs.links(row, tmp_path) == (
        f"Source: [construct](../../{construct}), [handler](../../lambda_src/{inside}/handler.py), "
        f"[stack](../../stacks/{inside}.py), [scenario](../../scenarios/{inside}.py)"
    )


@pytest.mark.parametrize("proof", get_args(Proof))
def test_a_page_says_how_much_is_proven_unless_all_is(proof: Proof) -> None:
    row = replace(ARCHITECTURES[0], proof=proof)
    assert (f"**Proof level: {proof}.**" in docs.links(row)) == (proof != "run")
    assert ("[scenario]" in docs.links(row)) == row.has_scenario


def test_every_page_has_its_links() -> None:
    for row in ARCHITECTURES:
        page = (ROOT / "docs" / row.family / f"{row.id}.md").read_text()
        assert "<!-- generated: links -->" in page, row.id
