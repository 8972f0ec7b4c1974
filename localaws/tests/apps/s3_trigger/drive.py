def drive(app):
    """Each text is written in capitals."""
    s3 = app.client("s3")
    s3.put_object(Bucket=app.outputs["UploadsName"], Key="texts/a b.txt", Body=b"hello")
    s3.put_object(Bucket=app.outputs["UploadsName"], Key="pictures/b.png", Body=b"hello")

    def written():
        return [each["Key"] for each in s3.list_objects_v2(Bucket=app.outputs["CapitalsName"])["Contents"]]

    assert app.wait_until(written) == ["texts/a b.txt"]
    assert s3.get_object(Bucket=app.outputs["CapitalsName"], Key="texts/a b.txt")["Body"].read() == b"HELLO"
