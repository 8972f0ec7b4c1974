import json

from helpers.foreign_apps import received


def drive(app):
    """Uploads and removals are announced."""
    s3, sqs, bucket = app.client("s3"), app.client("sqs"), app.outputs["BucketName"]
    received(sqs, app.outputs["UploadsUrl"])  # S3 sends a test event when a notification is set
    received(sqs, app.outputs["RemovalsUrl"])
    s3.put_object(Bucket=bucket, Key="uploads/a.csv", Body=b"1,2,3")
    s3.put_object(Bucket=bucket, Key="uploads/b.txt", Body=b"123")
    s3.delete_object(Bucket=bucket, Key="uploads/b.txt")

    def records(name):
        bodies = app.wait_until(lambda: received(sqs, app.outputs[name]))
        return [
            (each["eventName"], each["s3"]["object"]["key"])
            for body in bodies
            for each in json.loads(body)["Records"]
        ]

    assert records("UploadsUrl") == [("ObjectCreated:Put", "uploads/a.csv")]
    assert records("RemovalsUrl") == [("ObjectRemoved:DeleteMarkerCreated", "uploads/b.txt")]
    (event,) = app.wait_until(lambda: received(sqs, app.outputs["AnnouncedUrl"]))
    assert json.loads(event)["detail"]["object"]["key"] == "uploads/a.csv"
