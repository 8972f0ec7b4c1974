import json

from helpers.foreign_apps import received


def drive(app):
    """Jobs are done and bad ones come to the dead letters."""
    sqs, table = app.client("sqs"), app.outputs["ResultsName"]
    bodies = [json.dumps({"id": str(number), "number": number}) for number in range(9)] + ["no json"]
    entries = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=app.outputs["JobsUrl"], Entries=entries)
    assert app.wait_until(lambda: received(sqs, app.outputs["DeadLettersUrl"])) == ["no json"]

    def all_done():
        items = app.client("dynamodb").scan(TableName=table)["Items"]
        assert sorted(int(item["square"]["N"]) for item in items) == [number**2 for number in range(9)]
        return True

    app.wait_until(all_done)
