"""Stacks of the family messaging: queues and topics."""
