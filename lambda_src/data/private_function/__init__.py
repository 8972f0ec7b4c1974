"""The handler of `private-function`: priced orders go to DynamoDB and a queue, by VPC endpoints only."""
