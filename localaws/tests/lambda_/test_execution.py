"""Python functions run, fail and log as in Lambda."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.lambda_functions import Functions, Hold, Invoked, eventually, zipped

pytestmark = pytest.mark.local

SHOP = """
import json, os, sys, tempfile, time

calls = 0

class OutOfStock(Exception):
    pass

def order(item):
    raise OutOfStock(f"no {item} left")

def handler(event, context):
    global calls
    calls += 1
    what = (event or {}).get("do")
    if what == "fail":
        order("tea")
    if what == "exit":
        sys.exit(3)
    if what == "hang":
        time.sleep(60)
    if what == "surrogate":
        return "\\ud800"
    if what == "surrogate in the error":
        raise OutOfStock("\\ud800")
    if what == "unserialisable":
        return {1, 2}
    return {"calls": calls, "request_id": context.aws_request_id, "arn": context.invoked_function_arn}
"""

ENVIRONMENT = """
import os, sys, tempfile

def handler(event, context):
    return {"variables": dict(os.environ), "temporary": tempfile.gettempdir(), "path": sys.path}
"""

WHOAMI = """
import boto3
def handler(event, context):
    return boto3.client("sts").get_caller_identity()["Arn"]
"""


def test_the_caller_learns_the_type_the_message_and_the_stack_of_an_exception(functions: Functions) -> None:
    shop = functions.make(SHOP)
    failed = functions.invoke(shop, {"do": "fail"})
    assert failed.error == "Unhandled"
    assert failed.payload["errorType"] == "OutOfStock"
    assert failed.payload["errorMessage"] == "no tea left"
    assert failed.payload["requestId"] == failed.request_id
    *_, handler, order = failed.payload["stackTrace"]
    assert 'File "/var/task/index.py"' in handler
    assert "in order" in order
    assert "[ERROR] OutOfStock: no tea left" in failed.log


def test_an_exception_leaves_the_execution_environment_alive(functions: Functions) -> None:
    shop = functions.make(SHOP)
    functions.invoke(shop)
    functions.invoke(shop, {"do": "fail"})
    assert functions.invoke(shop).payload["calls"] == 3


def test_a_timeout_is_named_and_replaces_the_execution_environment(functions: Functions) -> None:
    shop = functions.make(SHOP, Timeout=1)
    late = functions.invoke(shop, {"do": "hang"})
    assert late.payload["errorType"] == "Sandbox.Timedout"
    assert late.payload["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert functions.invoke(shop).payload["calls"] == 1
    logs = functions.aws.client("logs")
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{shop}", filterPattern="REPORT")["events"]
    reports = [one["message"].split("\t") for one in found]
    assert reports[0][1] == "Duration: 1000.00 ms"
    initialized, status = reports[0][5:]
    billed, init = (
        float(reports[0][2].split()[2]),
        float(initialized.removeprefix("Init Duration:").split()[0]),
    )
    assert init > 0
    assert billed >= 1000 + init
    assert status == "Status: timeout"
    assert reports[1][5:] == []  # initialized again, as a part of the duration
    assert all(int(one[4].split()[3]) <= 128 for one in reports)


def test_an_exit_is_named_and_replaces_the_execution_environment(functions: Functions) -> None:
    shop = functions.make(SHOP)
    gone = functions.invoke(shop, {"do": "exit"})
    assert gone.payload["errorType"] == "Runtime.ExitError"
    assert gone.payload["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert functions.invoke(shop).payload["calls"] == 1


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("import nowhere", "index.handler", "Runtime.ImportModuleError", "No module named 'nowhere'"),
        ("def x(", "index.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'index'"),
        ("", "index.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'"),
        ("{}['key']", "index.handler", "KeyError", "'key'"),
    ],
)
def test_a_handler_that_cannot_be_imported_fails_every_call_with_the_reason(
    functions: Functions, source: str, handler: str, error_type: str, message: str
) -> None:
    broken = functions.make(source, Handler=handler)
    for _ in range(2):
        failed = functions.invoke(broken)
        assert failed.payload["errorType"] == error_type
        assert message in failed.payload["errorMessage"]


def test_a_change_of_the_function_does_not_disturb_the_invocation_that_is_running(
    functions: Functions, hold: Hold
) -> None:
    assert changed_while_running(functions, hold).payload == "old"


def test_a_change_of_the_role_takes_effect_at_the_next_call(functions: Functions) -> None:
    name = functions.make(WHOAMI, role=functions.role())
    functions.invoke(name)
    role = functions.role()
    functions.aws.client("lambda").update_function_configuration(FunctionName=name, Role=role)
    assert f"assumed-role/{role.rpartition('/')[2]}/" in functions.invoke(name).payload


def test_a_state_machine_catches_an_exception_by_its_type(functions: Functions) -> None:
    function = functions.arn("lambda", f"function:{functions.make(SHOP)}")
    caught = {"Type": "Pass", "Result": "caught", "End": True}
    catch = [{"ErrorEquals": ["OutOfStock"], "Next": "Caught"}]
    call = {"Type": "Task", "Resource": function, "Catch": catch, "End": True}
    states = functions.aws.client("stepfunctions")
    machine = states.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        type="EXPRESS",
        roleArn=functions.role(("lambda:InvokeFunction", function), service="states.amazonaws.com"),
        definition=json.dumps({"StartAt": "Call", "States": {"Call": call, "Caught": caught}}),
    )
    execution = states.start_sync_execution(
        stateMachineArn=machine["stateMachineArn"], input='{"do": "fail"}'
    )
    assert execution["output"] == '"caught"'


def test_a_result_that_is_no_json_is_an_error_of_the_runtime(functions: Functions) -> None:
    failed = functions.invoke(functions.make(SHOP), {"do": "unserialisable"})
    assert failed.payload["errorType"] == "Runtime.MarshalError"


@pytest.mark.parametrize("what", ["surrogate", "surrogate in the error"])
def test_what_cannot_be_written_in_utf_8_ends_the_environment(functions: Functions, what: str) -> None:
    shop = functions.make(SHOP)
    failed = functions.invoke(shop, {"do": what})
    assert (failed.error, failed.payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert "UnicodeEncodeError" in failed.log
    assert functions.invoke(shop, {"do": "é€😀\u2028"}).payload["calls"] == 1


def test_caller_and_handler_see_the_same_request_id(functions: Functions) -> None:
    invoked = functions.invoke(functions.make(SHOP))
    assert invoked.payload["request_id"] == invoked.request_id


def test_a_dependency_that_was_not_packed_is_missing_although_the_host_has_it(functions: Functions) -> None:
    failed = functions.invoke(functions.make("import pytest\n\ndef handler(event, context): pass"))
    assert failed.payload["errorMessage"] == "Unable to import module 'index': No module named 'pytest'"


def test_the_runtime_brings_boto3_and_it_reaches_the_embedded_aws_as_the_role(functions: Functions) -> None:
    role = functions.role()
    arn = functions.invoke(functions.make(WHOAMI, role=role)).payload
    assert f"assumed-role/{role.rpartition('/')[2]}/" in arn


def test_the_handler_sees_its_own_variables_and_nothing_of_the_host(functions: Functions) -> None:
    name = functions.make(ENVIRONMENT, Environment={"Variables": {"TABLE": "orders"}}, MemorySize=256)
    seen = functions.invoke(name).payload
    variables = seen["variables"]
    assert variables["TABLE"] == "orders"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    own = {
        "S3_DATA_DIR",
        "STATE_DIR",
        "MINISTACK_SSL_KEY",
        "MINISTACK_ACCOUNT_ID",
        "PYTHONPATH",
        "DOCKER_HOST",
    }
    assert not own & variables.keys()
    assert variables["HOME"].startswith(seen["temporary"])


def test_code_takes_precedence_over_layers_and_later_layers_over_earlier_ones(functions: Functions) -> None:
    layers = []
    for number, files in enumerate(
        (
            {
                "python/shared.py": "WHERE = 'layer'",
                "python/price.py": "PRICE = 1",
                "python/tax.py": "TAX = 1",
            },
            {"python/price.py": "PRICE = 2"},
        )
    ):
        published = functions.aws.client("lambda").publish_layer_version(
            LayerName=f"layer-{number}", Content={"ZipFile": zipped(files)}
        )
        layers.append(published["LayerVersionArn"])
    source = "import tax, price, shared\nhandler = lambda *_: [shared.WHERE, price.PRICE, tax.TAX]"
    name = functions.make("WHERE = 'code'", Layers=layers)
    functions.aws.client("lambda").update_function_code(
        FunctionName=name, ZipFile=zipped({"index.py": source, "shared.py": "WHERE = 'code'"})
    )
    assert functions.invoke(name).payload == ["code", 2, 1]


def test_everything_that_an_invocation_writes_is_in_its_log_and_no_other(functions: Functions) -> None:
    source = """
import logging, subprocess, sys
logging.getLogger().setLevel("INFO")
def handler(event, context):
    print("printed", event)
    logging.getLogger("shop").info("logged %s", event)
    subprocess.run(["sh", "-c", f"echo child {event}; echo error {event} >&2"])
    sys.stdout.write("unfinished")
"""
    name = functions.make(source)
    for number in (1, 2):
        log = functions.invoke(name, number).log
        for text in (
            f"printed {number}",
            f"logged {number}",
            f"child {number}",
            f"error {number}",
            "unfinished",
        ):
            assert text in log
        assert f"printed {3 - number}" not in log
    assert "[INFO]\t" in log


def test_a_quiet_handler_is_not_waited_for(functions: Functions) -> None:
    # The emulator always waits for 0.05 s, so one call that takes less is enough on any machine.
    name = quiet(functions)
    eventually(lambda: seconds_of_call(functions, name) < 0.05)


def test_still_needed_the_stock_emulator_names_every_exception_alike_and_kills_its_process(
    stock_functions: Functions,
) -> None:
    shop = stock_functions.make(SHOP)
    stock_functions.invoke(shop)
    failed = stock_functions.invoke(shop, {"do": "fail"})
    assert failed.payload["errorType"] == "Runtime.HandlerError"
    assert "stackTrace" not in failed.payload
    assert stock_functions.invoke(shop).payload["calls"] == 1


def test_still_needed_the_emulator_kills_running_invocations_when_a_function_changes(
    stock_functions: Functions, hold: Hold
) -> None:
    assert changed_while_running(stock_functions, hold).error


def test_still_needed_the_stock_emulator_keeps_the_old_role(stock_functions: Functions) -> None:
    name = stock_functions.make(WHOAMI, role=stock_functions.role())
    before = stock_functions.invoke(name).payload
    client = stock_functions.aws.client("lambda")
    client.update_function_configuration(FunctionName=name, Role=stock_functions.role())
    assert stock_functions.invoke(name).payload == before


def test_still_needed_the_stock_emulator_shows_the_host_and_its_packages_to_the_handler(
    stock_functions: Functions,
) -> None:
    source = "import os, pytest\n\ndef handler(event, context): return dict(os.environ)"
    assert "MINISTACK_SSL_KEY" in stock_functions.invoke(stock_functions.make(source)).payload


def test_still_needed_the_stock_emulator_puts_layers_before_the_code(stock_functions: Functions) -> None:
    client = stock_functions.aws.client("lambda")
    layer = client.publish_layer_version(
        LayerName="layer", Content={"ZipFile": zipped({"python/index.py": "handler = lambda *_: 'layer'"})}
    )
    name = stock_functions.make("handler = lambda *_: 'code'", Layers=[layer["LayerVersionArn"]])
    assert stock_functions.invoke(name).payload == "layer"


def test_still_needed_the_stock_emulator_waits_for_output_of_a_quiet_handler(
    stock_functions: Functions,
) -> None:
    name = quiet(stock_functions)
    assert min(seconds_of_call(stock_functions, name) for _ in range(10)) > 0.05


def test_still_needed_the_stock_emulator_gives_caller_and_handler_different_request_ids(
    stock_functions: Functions,
) -> None:
    invoked = stock_functions.invoke(stock_functions.make(SHOP))
    assert invoked.payload["request_id"] != invoked.request_id


def changed_while_running(functions: Functions, hold: Hold) -> Invoked:
    """A call of a function whose code changes before it returns."""
    name = functions.make(f"{hold.source}\ndef handler(event, context): hold(); return 'old'")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(functions.invoke, name)
        hold.wait()
        new = zipped({"index.py": "handler = lambda event, context: 'new'"})
        functions.aws.client("lambda").update_function_code(FunctionName=name, ZipFile=new)
        assert functions.invoke(name).payload == "new"
        hold.release()
        return running.result()


def quiet(functions: Functions) -> str:
    """A function that writes nothing, with an execution environment."""
    name = functions.make("handler = lambda event, context: event")
    functions.invoke(name)
    return name


def seconds_of_call(functions: Functions, name: str) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    functions.invoke(name)
    return time.perf_counter() - started


FORKING = """
import os
OWN = os.getpid()
def handler(event, context):
    if child := os.fork():
        os.waitpid(child, 0)
    return os.getpid() == OWN
"""


def test_a_child_of_the_handler_that_returns_as_well_gives_no_result(functions: Functions) -> None:
    forking = functions.make(FORKING, Timeout=10)
    answers = [functions.invoke(forking) for _ in range(2)]
    assert [(one.payload, one.error) for one in answers] == [(True, None)] * 2
