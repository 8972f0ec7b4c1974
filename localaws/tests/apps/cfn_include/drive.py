from helpers.foreign_apps import received


def drive(app):
    """The function sends to the queue of the old template."""
    sqs, url = app.client("sqs"), app.outputs["JobsUrl"]
    assert app.outputs["Name"] == "jobs/beta"
    app.invoke("SenderName", {"text": "from the CDK"})
    assert app.wait_until(lambda: received(sqs, url)) == ["from the CDK"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (attributes["MessageRetentionPeriod"], attributes["ReceiveMessageWaitTimeSeconds"]) == (
        "3600",
        "5",
    )
