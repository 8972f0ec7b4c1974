def drive(app):
    """The calls were made."""
    stored = app.client("s3").get_object(Bucket=app.outputs["BucketName"], Key="hello.txt")
    assert stored["Body"].read() == b"Hello, world"
    assert app.outputs["Answer"] == "42"
