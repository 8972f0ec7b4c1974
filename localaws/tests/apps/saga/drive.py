def drive(app):
    """A trip is booked whole or not at all."""
    url = next(value for key, value in app.outputs.items() if key.startswith("ApiEndpoint"))
    states, dynamodb = app.client("stepfunctions"), app.client("dynamodb")

    def end_of(trip):
        started = app.request("POST", url, json_body=trip)
        assert started.status == 200
        arn = started.json()["executionArn"]
        app.wait_until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
        ended = states.describe_execution(executionArn=arn)
        items = dynamodb.scan(TableName=app.outputs["TableName"])["Items"]
        return ended["status"], sorted(
            item["kind"]["S"] for item in items if item["trip"]["S"] == trip["trip"]
        )

    assert end_of({"trip": "rome"}) == ("SUCCEEDED", ["flight", "hotel"])
    assert end_of({"trip": "oslo", "fail": "flight"}) == ("FAILED", [])
