"""HTTP request → API Gateway → Step Functions, synchronous Express workflow → Lambda."""

from cdk_lambda_patterns.workflow.sync_express.workflow import TRANSIENT_LAMBDA_ERRORS, SyncExpressWorkflow

__all__ = ["TRANSIENT_LAMBDA_ERRORS", "SyncExpressWorkflow"]
