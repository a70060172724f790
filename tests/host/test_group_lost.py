"""The primary makes its group forget the connections to members that it lost, once and only then."""

from __future__ import annotations

import pymysql
import pytest

from userdata.host.database_state import View
from userdata.host.group_lost import CONFIGURATIONS, LostMembers

ALL = View("17:4", ("server-1", "server-2", "server-3"))
TWO = View("17:5", ("server-2", "server-3"))
BACK = View("17:6", ("server-1", "server-2", "server-3"))


class Mysqld:
    """What is asked of mysqld, whose group has a write concurrency of 20."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.widths: list[int] = []
        self.pauses: list[float] = []

    def row(self, statement: str) -> dict[str, int]:
        assert "get_write_concurrency" in statement
        return {"width": 20}

    def run(self, statement: str, parameters: tuple[int]) -> None:
        if self.refuses:
            raise pymysql.err.OperationalError(1123, "Member must be ONLINE and in the majority partition.")
        assert "set_write_concurrency" in statement
        self.widths += parameters


def forget(lost: LostMembers, mysqld: Mysqld) -> None:
    lost.forget(mysqld, mysqld.pauses.append)  # type: ignore[arg-type]


def test_a_lost_member_is_forgotten_once_and_the_setting_stays() -> None:
    lost, mysqld = LostMembers(), Mysqld()
    lost.saw(ALL, TWO)
    forget(lost, mysqld)
    forget(lost, mysqld)
    assert mysqld.widths == [20] * CONFIGURATIONS
    assert len(mysqld.pauses) == CONFIGURATIONS


@pytest.mark.parametrize(
    "views",
    [
        (),
        ((None, ALL),),
        ((TWO, BACK),),
        ((ALL, TWO), (TWO, BACK)),
        ((ALL, View("99:1", ("server-2",))),),
        ((ALL, TWO), (TWO, View("99:1", ("server-2",)))),
    ],
    ids=["nothing", "its first view", "a new member", "it is back already", "another group", "then another group"],
)
def test_nothing_is_forgotten_without_a_loss(views: tuple[tuple[View | None, View], ...]) -> None:
    lost, mysqld = LostMembers(), Mysqld()
    for before, after in views:
        lost.saw(before, after)
    forget(lost, mysqld)
    assert mysqld.widths == []


def test_two_losses_one_after_the_other_are_both_told(caplog: pytest.LogCaptureFixture) -> None:
    lost = LostMembers()
    five = View("17:3", (*ALL.members, "server-4", "server-5"))
    lost.saw(five, View("17:4", ("server-1", "server-2", "server-3", "server-4")))
    lost.saw(View("17:4", ("server-1", "server-2", "server-3", "server-4")), ALL)
    with caplog.at_level("INFO"):
        forget(lost, Mysqld())
    assert caplog.messages == ["the group forgets its connections to server-4, server-5"]


def test_a_refusal_is_told_and_the_look_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    lost, mysqld = LostMembers(), Mysqld(refuses=True)
    lost.saw(ALL, TWO)
    with caplog.at_level("INFO"):
        forget(lost, mysqld)
    assert "keeps its connections to server-1" in caplog.text
    mysqld.refuses = False
    forget(lost, mysqld)
    assert mysqld.widths == [], "it is not tried at every look"
