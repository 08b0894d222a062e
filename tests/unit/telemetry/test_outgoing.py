"""What waits while the broker is away."""

from evmesh.telemetry.outgoing import Outgoing, TopicQueues


def message(topic: str, number: int) -> Outgoing:
    return Outgoing(topic, str(number).encode())


def test_messages_leave_in_the_order_they_came() -> None:
    queues = TopicQueues(10)
    sent = [message(topic, number) for number, topic in enumerate("abacab")]
    for one in sent:
        queues.put(one)
    assert queues.take(4) + queues.take(10) == sent
    assert (len(queues), queues.take(1)) == (0, [])


def test_a_full_topic_drops_its_own_oldest_and_counts_it() -> None:
    queues = TopicQueues(2)
    for one in [message("rare", 0), *(message("busy", number) for number in range(5))]:
        queues.put(one)
    assert queues.take(10) == [message("rare", 0), message("busy", 3), message("busy", 4)]
    assert queues.dropped == 3


def test_a_topic_has_its_full_share_again_after_it_was_emptied() -> None:
    queues = TopicQueues(2)
    for round_ in range(3):
        queues.put(message("a", round_))
        queues.put(message("a", round_ + 10))
        assert queues.take(2) == [message("a", round_), message("a", round_ + 10)]
    assert queues.dropped == 0
