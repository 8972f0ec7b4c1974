"""HTTPS request → function URL → a service that stores notes in DynamoDB."""
