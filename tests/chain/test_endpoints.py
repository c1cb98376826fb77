"""The rule that scores endpoints and pauses failing ones: pure, with a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from chain import endpoints
from chain.endpoints import Health, answered, asked, failed, is_paused, puzzled, score_ms, split


def after_failures(count: int, retry_after_ms: int = 0) -> tuple[Health, int]:
    """An endpoint that fails at every try, each made as soon as the circuit lets it."""
    health, now_ms = Health(), 0
    for _ in range(count):
        now_ms = max(now_ms + 1, health.paused_until_ms)
        health = asked(health, now_ms)
        health = failed(health, "EndpointDown", now_ms, now_ms, retry_after_ms)
    return health, now_ms


def test_the_pause_doubles_with_every_failed_try_up_to_a_bound():
    """A dead endpoint is tried less and less often, but never given up."""
    pauses = []
    for count in range(1, 9):
        health, now_ms = after_failures(count)
        pauses.append(health.paused_until_ms - now_ms)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]


def test_a_longer_pause_that_the_endpoint_asks_for_is_respected_within_reason():
    """``Retry-After`` counts, but an hour would be an endpoint lost to a typing error."""
    asked_for, now_ms = after_failures(1, retry_after_ms=45_000)
    assert asked_for.paused_until_ms - now_ms == 45_000
    absurd, now_ms = after_failures(1, retry_after_ms=86_400_000)
    assert absurd.paused_until_ms - now_ms == endpoints.RETRY_AFTER_MAX_MS


def test_requests_that_fail_together_are_one_trouble():
    """Ten requests under way when the node dies must not pause it for minutes."""
    health = Health()
    for end_ms in range(1_000, 1_010):
        health = failed(health, "EndpointDown", 500, end_ms)
    assert health.trips == 1
    assert health.paused_until_ms == 1_009 + 1_000


def test_one_request_tries_a_half_open_circuit():
    """The others go elsewhere until it is back; its answer closes the circuit."""
    health, _ = after_failures(2)
    later = health.paused_until_ms
    assert not is_paused(health, later)
    trying = asked(health, later)
    assert is_paused(trying, later + 1)
    healthy = answered(trying, later, later + 20)
    assert (healthy.trips, healthy.failing_since_ms, is_paused(healthy, later + 21)) == (0, None, 0)
    assert healthy.last_error == "EndpointDown"


def test_an_answer_from_before_the_trouble_does_not_end_it():
    """It was under way when the endpoint failed, and says nothing about now."""
    health = failed(Health(), "RateLimited", 100, 200, 5_000)
    assert is_paused(answered(health, 50, 300), 400)


def test_one_question_that_a_node_cannot_answer_does_not_pause_the_node():
    """A series of them does."""
    health = puzzled(Health(), "UnclearAnswer", 0, 1)
    health = answered(puzzled(health, "UnclearAnswer", 2, 3), 4, 5)
    for moment in (10, 20):
        health = puzzled(health, "UnclearAnswer", moment, moment + 1)
        assert not is_paused(health, moment + 2)
    assert is_paused(puzzled(health, "UnclearAnswer", 30, 31), 32)


def test_an_answer_is_as_old_as_its_way_and_the_blocks_that_it_lacks():
    """Latency is a moving mean; each block behind costs the time between blocks."""
    health = Health(latency_ms=100.0, head=90)
    assert answered(health, 0, 200).latency_ms == 120.0
    assert score_ms(health, 93, block_ms=2_000) == 6_100.0
    assert score_ms(health, None, block_ms=2_000) == 100.0


def test_a_boast_about_the_head_makes_nobody_else_look_old():
    """The height that counts is the one that a quorum reached."""
    liar, first, second = (Health(head=10**9), Health(head=100), Health(head=99))
    ready, _ = split([liar, first, second], 0, quorum=2, block_ms=1_000)
    assert ready == [0, 1, 2]  # equal scores keep the order of the configuration
    reference = endpoints.reference_head([liar, first, second], 2)
    assert [endpoints.lag_blocks(h, reference) for h in (liar, first, second)] == [0, 0, 1]


@given(
    st.lists(
        st.builds(
            Health,
            latency_ms=st.floats(0, 10_000),
            head=st.none() | st.integers(0, 10**9),
            trips=st.integers(0, 40),
            paused_until_ms=st.integers(0, 100_000),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 100_000),
    st.data(),
)
def test_there_is_always_somebody_to_ask(healths, now_ms, data):
    """Each endpoint is either ready or paused; half-open ones are relied on last."""
    quorum = data.draw(st.integers(1, len(healths)))
    ready, paused = split(healths, now_ms, quorum, 1_000)
    assert sorted(ready + paused) == list(range(len(healths)))
    assert all(is_paused(healths[i], now_ms) for i in paused)
    assert [healths[i].trips > 0 for i in ready] == sorted(healths[i].trips > 0 for i in ready)
    ends = [healths[i].paused_until_ms for i in paused]
    assert ends == sorted(ends)
