import json


def drive(app):
    """Pizzas are baked refused and apologised for."""
    machine, states = app.outputs["MachineArn"], app.client("stepfunctions")

    def run(flavour):
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps({"flavour": flavour}))[
            "executionArn"
        ]
        app.wait_until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
        return states.describe_execution(executionArn=arn)

    baked = run("salami")
    assert baked["status"] == "SUCCEEDED"
    assert json.loads(baked["output"])["baked"] == [{"on": "cheese"}, {"on": "salami"}]
    refused = run("hawaii")
    assert (refused["status"], refused["error"]) == ("FAILED", "NoPineapple")
    assert json.loads(run("cold")["output"]) == {"status": "sorry"}
