"""Scenarios of the architectures that are driven by queues and topics."""
