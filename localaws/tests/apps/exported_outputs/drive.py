import pytest

from helpers.foreign_apps import received


def drive(app):
    """What one stack exports the other uses."""
    app.invoke("FunctionName", {"text": "shared"})
    assert app.wait_until(lambda: received(app.client("sqs"), app.outputs["QueueUrl"])) == ["shared"]
    cloudformation = app.client("cloudformation")
    exports = {each["Name"] for each in cloudformation.list_exports()["Exports"]}
    assert {"shared-queue-arn", "shared-queue-url", "shared-topic"} <= exports
    assert cloudformation.list_imports(ExportName="shared-queue-arn")["Imports"] == ["ConsumerStack"]
    with pytest.raises(cloudformation.exceptions.ClientError, match="not imported"):
        cloudformation.list_imports(ExportName="shared-topic")
