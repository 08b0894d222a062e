"""A line keeps its name over restarts, and leads nowhere once who made it is gone."""

from pathlib import Path

from evmesh.sim.lines import linked, unlink_all


def test_a_link_leads_to_the_newest_target_and_nowhere_at_the_end(tmp_path: Path) -> None:
    link, old, new = tmp_path / "home" / "bus", tmp_path / "old", tmp_path / "new"
    with linked(link, str(old)):
        assert link.readlink() == old
        with linked(link, str(new)):  # started anew, while the one before is not quite gone
            assert link.readlink() == new
        assert not link.is_symlink()
    assert list(link.parent.iterdir()) == []


def test_a_link_that_another_has_made_stays(tmp_path: Path) -> None:
    link = tmp_path / "bus"
    with linked(link, str(tmp_path / "mine")):
        link.unlink()
        link.symlink_to(tmp_path / "theirs")
    assert link.readlink() == tmp_path / "theirs"


def test_what_a_kill_left_behind_is_taken_away_and_files_stay(tmp_path: Path) -> None:
    (tmp_path / "station-1").mkdir()
    (tmp_path / "station-1" / "bus").symlink_to("/dev/pts/9")
    (tmp_path / "station-1" / "brightness").write_text("0")
    unlink_all(tmp_path)
    unlink_all(tmp_path / "nothing")
    assert [file.name for file in (tmp_path / "station-1").iterdir()] == ["brightness"]
