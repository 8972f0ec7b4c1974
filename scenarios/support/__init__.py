"""What scenarios share: faults, waiting queues, redrives, stack updates, endpoints."""
