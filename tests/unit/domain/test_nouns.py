from evmesh.domain.nouns import counted, leaves, noun


def test_one_is_no_plural_and_nothing_is() -> None:
    assert [counted(count, "step") for count in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert [leaves(count) for count in (0, 1, 12)] == ["0 leaves", "1 leaf", "12 leaves"]
    assert (noun(1, "gateway"), noun(3, "gateway")) == ("gateway", "gateways")
