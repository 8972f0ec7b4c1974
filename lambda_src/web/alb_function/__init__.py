"""HTTP request → Application Load Balancer → a service that stores notes in DynamoDB."""
