"""What can be wrong with a record for good, beside what S3 would never write.

The name of the class is the ``errorType`` in the failure queue, so it is part of what operators see.
"""

from shared.failures import PermanentFailure


class OtherBucket(PermanentFailure):
    """The object is in a bucket that this function does not follow."""


class UnstorableKey(PermanentFailure):
    """The key has a character that the database cannot hold."""
