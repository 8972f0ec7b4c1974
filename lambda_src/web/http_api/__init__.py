"""HTTP request → HTTP API or REST API → a service that stores notes in DynamoDB."""
