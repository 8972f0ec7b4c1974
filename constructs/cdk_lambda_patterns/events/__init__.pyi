from cdk_lambda_patterns.events.event_bus import BusRule as BusRule
from cdk_lambda_patterns.events.event_bus import EventBus as EventBus
from cdk_lambda_patterns.events.scheduled_function import ScheduledFunction as ScheduledFunction
