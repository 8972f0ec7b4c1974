"""The plugin in a project of a user: fixtures, the mark, and what a failure shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.assemblies import write_assembly
from localaws import LocalAws
from localaws.cdk.cli import find_cli
from localaws.server import outliving

pytestmark = pytest.mark.local
pytest_plugins = ["pytester"]

# The tests of all users here share one server; a project may have a fixture of its own in this way.
CONFTEST = """
import pytest
from localaws import LocalAws

@pytest.fixture(scope="session")
def local_aws():
    return LocalAws.attach("shared")
"""


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        environment.setenv("LOCALAWS_CDK", str(find_cli()))
        environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        environment.setenv("PYTEST_PLUGINS", "localaws.pytest_plugin")
        outliving.start("shared", {})
        yield
        outliving.stop("shared")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """The project of a user, with a synthesised app in `cdk.out`."""
    LocalAws.attach("shared").reset()
    write_assembly(pytester.mkdir("cdk.out"))
    pytester.makeconftest(CONFTEST)
    return pytester


def test_a_failure_shows_logs_denials_and_ignored_properties(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_order(deploy):
            deployed = deploy("cdk.out")
            assert deployed.invoke("Handler", {"only_print": "this"}) == {"only_print": "this"}
            assert deployed.outputs["Table"] == deployed.resource("Table").physical_id
            assert "storing {'only_print': 'this'}" in deployed.logs("Handler")
            deployed.invoke("Handler", {"id": "o-1"})
        """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*FunctionFailed: *AccessDenied*",
            "*- log of *Handler*",
            "storing {'id': 'o-1'}",
            "*- denied by IAM -*",
            "arn:aws:sts::*:assumed-role/*may not dynamodb:PutItem on *: no policy of the principal*",
            "    missing in the identity policy:",
            "*handler.add_to_role_policy(*",
            '*actions=[[]"dynamodb:PutItem"], resources=[[]table.table_arn]*',
            "*or, with more than is missing: table.grant_write_data(handler)",
            "*- properties without effect on the embedded AWS -*",
            "AWS::DynamoDB::Table.ContributorInsightsSpecification of Table",
        ]
    )


def test_a_failure_shows_the_log_of_a_function_that_is_gone(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_order(deploy):
            deployed = deploy("cdk.out")
            deployed.invoke("Handler", {"only_print": "this"})
            deployed.destroy()
            assert False
        """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- log of Orders-Handler*", "storing {'only_print': 'this'}"])


def test_ignored_properties_fail_a_test_that_does_not_name_them(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def deployed(deploy):
            return deploy("cdk.out", "Orders")

        @pytest.mark.localaws(ignored=set())
        def test_strict(deployed):
            pass

        @pytest.mark.localaws(ignored={"AWS::DynamoDB::Table.ContributorInsightsSpecification"})
        def test_named(deployed):
            pass

        def test_without_a_mark(deployed):
            pass
        """
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(
        [
            "These properties have no effect on the embedded AWS:",
            "*AWS::DynamoDB::Table.ContributorInsightsSpecification of Table in Orders",
        ]
    )


def test_each_module_starts_with_an_empty_account(project: pytest.Pytester) -> None:
    module = """
        import pytest

        @pytest.fixture(autouse=True)
        def _use(deploy):
            pass

        def test_first(local_aws):
            local_aws.client("sqs").create_queue(QueueName="q")

        def test_second(local_aws):
            assert local_aws.client("sqs").list_queues()["QueueUrls"]
    """
    other = """
        def test_third(local_aws):
            assert bool(local_aws.client("sqs").list_queues()["QueueUrls"]) is {there}
    """
    project.makepyfile(test_a=module, test_b=other.format(there=False))
    project.runpytest_inprocess().assert_outcomes(passed=3)
    project.makepyfile(test_a=module, test_b=other.format(there=True))
    project.runpytest_inprocess("-o", "localaws_reset=never").assert_outcomes(passed=3)


@pytest.mark.parametrize(("scope", "there"), [("session", True), ("package", True), ("module", False)])
def test_what_a_fixture_has_made_stays_as_long_as_the_fixture(
    project: pytest.Pytester, scope: str, *, there: bool
) -> None:
    project.mkpydir("shop")
    (project.path / "shop" / "conftest.py").write_text(
        f"""
import pytest

@pytest.fixture(scope={scope!r})
def queue(local_aws, deploy):
    return local_aws.client("sqs").create_queue(QueueName="orders")["QueueUrl"]

@pytest.fixture(scope="session")
def sqs(local_aws):  # makes nothing
    return local_aws.client("sqs")
"""
    )
    # The first module has no use for the fixture, so it is set up at the change of module.
    (project.path / "shop" / "test_a.py").write_text(
        """
def test_first(deploy, sqs):
    sqs.create_queue(QueueName="left-over")
"""
    )
    (project.path / "shop" / "test_b.py").write_text(
        """
def test_second(queue, sqs):
    assert sqs.list_queues()["QueueUrls"] == [queue]

def test_third(queue, sqs):
    sqs.create_queue(QueueName="left-over")

def test_explicit_reset(queue, empty_aws):
    pass
"""
    )
    (project.path / "shop" / "test_c.py").write_text(
        f"""
def test_fourth(queue, sqs):
    sqs.get_queue_attributes(QueueUrl=queue)
    assert (len(sqs.list_queues()["QueueUrls"]) == 2) is {there}
"""
    )
    (project.path / "test_d.py").write_text(
        f"""
def test_fifth(local_aws):
    assert bool(local_aws.client("sqs").list_queues().get("QueueUrls")) is {scope == "session"}
"""
    )
    result = project.runpytest_inprocess("shop", "test_d.py")
    result.assert_outcomes(passed=5 if there else 6, errors=int(there))
    if there:
        result.stdout.fnmatch_lines(["*empty_aws would delete what the fixture 'queue' has made*"])


def test_the_mark_sets_the_pace_for_one_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        def pace(aws):
            with aws.paced(1):
                pass
            before = aws._call("POST", "/_localaws/pace", 2)
            aws._call("POST", "/_localaws/pace", before)
            return before

        @pytest.mark.localaws(pace=0.25)
        def test_fast(local_aws):
            assert pace(local_aws) == 0.25

        def test_usual(local_aws):
            assert pace(local_aws) == 2
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("pase=1", "takes pace, account_concurrency and ignored, not pase"),
        ("'x'", "takes pace, account_concurrency and ignored, not 'x'"),
        ("", "takes pace, account_concurrency and ignored, not nothing"),
        ("ignored='AWS::SNS::Topic.TracingConfig'", "give a set of names such as"),
    ],
)
def test_a_mark_without_effect_is_refused(project: pytest.Pytester, mark: str, said: str) -> None:
    project.makepyfile(f"import pytest\n@pytest.mark.localaws({mark})\ndef test_it(): pass")
    result = project.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}*"])


def test_an_unknown_time_of_reset_is_refused(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("-o", "localaws_reset=test")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*localaws_reset='test': it must be one of module, never*"])


def test_keep_leaves_the_account_running_after_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_fails(local_aws):
            local_aws.client("s3").create_bucket(Bucket="left-behind")
            assert False

        def test_not_run(local_aws):
            pass
        """
    )
    result = pytester.runpytest_inprocess("--localaws-keep")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- embedded AWS: still running -*", "eval * # for cdk, aws and boto3"])
    (name,) = [one for one in outliving.names() if one.startswith("pytest-")]
    try:
        buckets = LocalAws.attach(name).client("s3").list_buckets()["Buckets"]
        assert [bucket["Name"] for bucket in buckets] == ["left-behind"]
    finally:
        outliving.stop(name)


def test_tests_that_do_not_use_it_start_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): assert False")
    result = pytester.runpytest_inprocess("--localaws-keep")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*embedded AWS*")
    assert outliving.names() == ["shared"]


def test_an_account_that_is_not_of_the_plugin_is_not_kept(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(local_aws): assert False")
    result = project.runpytest_inprocess("--localaws-keep")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*still running*")
