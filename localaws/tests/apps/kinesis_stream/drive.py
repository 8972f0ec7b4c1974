import json

from helpers.foreign_apps import received


def drive(app):
    """Readings are summed and a bad record is reported."""
    stream, sqs = app.outputs["StreamName"], app.client("sqs")
    data = [{"sensor": f"s{number % 3}", "value": number} for number in range(12)]
    records = [{"Data": json.dumps(each).encode(), "PartitionKey": each["sensor"]} for each in data]
    records.append({"Data": b"no json", "PartitionKey": "s0"})
    assert app.client("kinesis").put_records(StreamName=stream, Records=records)["FailedRecordCount"] == 0
    report = json.loads(app.wait_until(lambda: received(sqs, app.outputs["FailedUrl"]))[0])
    assert report["KinesisBatchInfo"]["batchSize"] == 1

    def summed():
        items = app.client("dynamodb").scan(TableName=app.outputs["TotalsName"])["Items"]
        assert {item["sensor"]["S"]: int(item["sum_of_values"]["N"]) for item in items} == {
            "s0": 18,
            "s1": 22,
            "s2": 26,
        }
        return True

    app.wait_until(summed)
