"""What waits to be published: bounded per topic, the newest wins, and what is dropped is counted."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message as it will go out."""

    topic: str
    payload: bytes


class TopicQueues:
    """Messages in the order they came, at most `per_topic` of one topic: then its oldest is dropped.

    A topic is one value of one charger, so that a busy value never pushes out a rare one.
    """

    def __init__(self, per_topic: int) -> None:
        self._per_topic = per_topic
        self._waiting: dict[int, Outgoing] = {}
        self._of_topic: dict[str, deque[int]] = {}
        self._next = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Outgoing) -> None:
        """Append, dropping the topic's oldest message where it has its fill."""
        numbers = self._of_topic.setdefault(message.topic, deque())
        if len(numbers) >= self._per_topic:
            del self._waiting[numbers.popleft()]
            self.dropped += 1
        numbers.append(self._next)
        self._waiting[self._next] = message
        self._next += 1

    def take(self, most: int) -> list[Outgoing]:
        """Remove and give up to `most` messages, the oldest first."""
        numbers = [number for number, _ in zip(self._waiting, range(most), strict=False)]
        taken = [self._waiting.pop(number) for number in numbers]
        for message in taken:
            # Numbers of a topic leave in the order they came, so it is always its first.
            queue = self._of_topic[message.topic]
            queue.popleft()
            if not queue:
                del self._of_topic[message.topic]
        return taken
