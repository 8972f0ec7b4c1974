def drive(app):
    """A message of one stack becomes an object by the other."""
    app.client("sqs").send_message(QueueUrl=app.outputs["QueueUrl"], MessageBody="keep me")
    s3, bucket = app.client("s3"), app.outputs["BucketName"]
    (stored,) = app.wait_until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"))
    assert s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read() == b"keep me"
