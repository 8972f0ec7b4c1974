"""The handler of `private-function`: an order goes to DynamoDB and to a queue, through VPC endpoints only."""
