"""AWS Config → Lambda → PutEvaluations."""
