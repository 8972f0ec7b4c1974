import json

from helpers.foreign_apps import received


def drive(app):
    """Each queue gets its orders and the function all."""
    sns, sqs = app.client("sns"), app.client("sqs")
    for number, status in enumerate(["created", "shipped", "created"]):
        attributes = {"status": {"DataType": "String", "StringValue": status}}
        sns.publish(TopicArn=app.outputs["TopicArn"], Message=f"order {number}", MessageAttributes=attributes)
    created = []

    def both():
        created.extend(received(sqs, app.outputs["CreatedUrl"]))
        return len(created) == 2

    app.wait_until(both)
    assert sorted(created) == ["order 0", "order 2"]
    others = app.wait_until(lambda: received(sqs, app.outputs["OthersUrl"]))
    assert [json.loads(body)["Message"] for body in others] == ["order 1"]
    app.wait_until(lambda: {f"audited order {number}" for number in range(3)} <= set(app.logs("AuditName")))
