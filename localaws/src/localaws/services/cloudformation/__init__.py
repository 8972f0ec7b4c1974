"""AWS CloudFormation: stacks and custom resources."""
