"""After any disorder of operations and of their events, the table says what the bucket has."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.metadata_sync.disorder import ACTIONS, Disorder, drawn

disorders = st.builds(
    Disorder,
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from("ab")), min_size=1, max_size=8),
    versioned=st.booleans(),
    deaths=st.integers(0, 2),
    lost=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=400)
@given(disorder=disorders)
def test_the_table_equals_the_bucket_after_any_disorder(
    metadata_sync: LoadedHandler, disorder: Disorder
) -> None:
    disorder.check(metadata_sync)


def caught(modules: LoadedHandler, tries: int = 6000) -> bool:
    """Whether some disorder shows that something is wrong."""
    for seed in range(tries):
        try:
            drawn(Random(seed)).check(modules)  # noqa: S311
        except AssertionError:
            return True
    return False
