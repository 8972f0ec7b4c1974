import json
import os
import socket

import boto3

secrets = boto3.client("secretsmanager")


def handler(event, context):
    secret = json.loads(secrets.get_secret_value(SecretId=os.environ["SECRET_ARN"])["SecretString"])
    with socket.create_connection((secret["host"], int(secret["port"])), timeout=5) as connection:
        connection.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))  # SSLRequest of PostgreSQL's protocol
        tls = connection.recv(1).decode()
    return {"engine": secret["engine"], "user": secret["username"], "database": secret["dbname"], "tls": tls}
