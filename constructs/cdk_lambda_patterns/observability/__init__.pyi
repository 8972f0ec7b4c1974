from cdk_lambda_patterns.observability.monitoring import Alarms as Alarms
from cdk_lambda_patterns.observability.monitoring import Monitoring as Monitoring
