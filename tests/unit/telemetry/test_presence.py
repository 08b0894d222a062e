"""Chargers whose publisher comes and goes."""

from datetime import UTC, datetime, timedelta

from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.presence import Change, Presence
from evmesh.telemetry.topics import Reading

FIRST, SECOND = "platform-aaaa", "platform-bbbb"
AT = datetime(2026, 6, 1, 8, tzinfo=UTC)
NOW = AT + timedelta(hours=1)


def charger(name: str, word: str, boot: str | None = FIRST) -> Reading:
    return Reading(TelemetryValue(name, "Availability", AT, word), boot, 1)


def publisher(word: str, boot: str = FIRST, seq: int = 1, at: datetime = AT) -> Reading:
    return Reading(TelemetryValue("platform", "Availability", at, word), boot, seq)


def will(boot: str = FIRST, at: datetime = AT) -> Reading:
    return publisher("offline", boot, 0, at)


def words(changes: list[Change]) -> dict[str, object]:
    return {change.value.charger: change.value.value for change in changes}


def test_nothing_follows_while_the_publisher_is_there() -> None:
    presence = Presence()
    assert presence.publisher_said(publisher("online"), NOW) == []
    assert presence.charger_said(charger("cp-1", "online"), NOW) == []
    assert presence.charger_said(charger("cp-2", "offline"), NOW) == []


def test_chargers_go_offline_with_their_publisher_at_the_time_it_is_heard() -> None:
    presence = Presence()
    presence.publisher_said(publisher("online"), NOW)
    for reading in (
        charger("cp-1", "online"),
        charger("cp-2", "offline"),
        charger("cp-3", "online", "gateway-1"),
    ):
        presence.charger_said(reading, NOW)
    changes = presence.publisher_said(will(), NOW)
    assert words(changes) == {"cp-1": "offline"}
    assert changes[0].value.at == NOW


def test_the_order_of_retained_messages_does_not_matter() -> None:
    presence = Presence()
    assert presence.publisher_said(will(), NOW) == []
    assert words(presence.charger_said(charger("cp-1", "online"), NOW)) == {"cp-1": "offline"}


def test_chargers_are_what_they_said_again_when_the_same_run_reconnects() -> None:
    presence = Presence()
    presence.publisher_said(publisher("online"), NOW)
    presence.charger_said(charger("cp-1", "online"), NOW)
    presence.publisher_said(will(), NOW)
    assert words(presence.publisher_said(publisher("online", seq=2), NOW)) == {"cp-1": "online"}


def test_chargers_of_an_earlier_run_stay_offline_until_they_are_heard_again() -> None:
    presence = Presence()
    presence.charger_said(charger("cp-1", "online"), NOW)
    assert words(presence.publisher_said(publisher("online", SECOND), NOW)) == {"cp-1": "offline"}
    assert presence.charger_said(charger("cp-1", "online", SECOND), NOW) == []


def test_a_will_that_comes_late_says_nothing_about_a_later_connection() -> None:
    presence = Presence()
    presence.charger_said(charger("cp-1", "online"), NOW)
    presence.publisher_said(publisher("online", seq=2, at=AT + timedelta(minutes=1)), NOW)
    assert presence.publisher_said(will(), NOW) == []
    assert presence.publisher_said(will(SECOND, AT + timedelta(hours=9)), NOW) == []
    assert words(presence.publisher_said(will(at=AT + timedelta(minutes=1)), NOW)) == {"cp-1": "offline"}


def test_a_change_has_the_same_identity_when_the_will_is_delivered_again() -> None:
    def told(now: datetime) -> list[str]:
        presence = Presence()
        presence.charger_said(charger("cp-1", "online"), now)
        return [change.identity for change in presence.publisher_said(will(), now)]

    assert told(NOW) == told(NOW + timedelta(days=1))
    assert len(told(NOW)) == 1


def test_a_foreign_charger_is_left_alone() -> None:
    presence = Presence()
    presence.publisher_said(will(), NOW)
    assert presence.charger_said(charger("cp-1", "online", None), NOW) == []


def test_a_publisher_that_is_doubted_is_gone_until_its_next_word() -> None:
    presence = Presence()
    presence.publisher_said(publisher("online"), NOW)
    presence.charger_said(charger("cp-1", "online"), NOW)
    assert words(presence.doubt(["platform", "unheard-of"], NOW)) == {"cp-1": "offline"}
    assert words(presence.charger_said(charger("cp-2", "online"), NOW)) == {"cp-2": "offline"}
    assert words(presence.publisher_said(publisher("online", seq=2), NOW)) == {
        "cp-1": "online",
        "cp-2": "online",
    }


def test_two_programs_of_one_name_are_noticed_when_one_comes_back_after_the_other() -> None:
    presence = Presence()

    def conflicts(boot: str, seq: int) -> list[object]:
        changes = presence.publisher_said(publisher("online", boot, seq), NOW)
        return [one.value.value for one in changes if one.value.name == "NameConflicts"]

    assert conflicts(FIRST, 1) == []
    assert conflicts(FIRST, 2) == []
    assert conflicts(SECOND, 1) == [], "it was started anew"
    assert conflicts(FIRST, 2) == [], "an old word that is delivered again"
    assert conflicts(FIRST, 3) == [1]
    assert conflicts(SECOND, 2) == [2]
    assert presence.publisher_said(will(FIRST), NOW) == []
