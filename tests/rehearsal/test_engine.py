"""What happens to a resource between two runs of the program."""

from __future__ import annotations

import pytest

from rehearsal.engine import Engine, Registration, ResourceError, Step, top_level
from rehearsal.resources import KINDS, Kind, Outcome, UnknownTypeError, kind_of
from rehearsal.shell import RehearsalError
from rehearsal.state import State

TYPE = "test:index/thing:Thing"


@pytest.fixture
def calls(monkeypatch):
    made = []

    class Thing(Kind):
        taggable = True
        replace_on = frozenset({"size"})

        def create(self, name, inputs):
            if inputs.get("refuse"):
                raise RuntimeError("no room")
            made.append(("create", name))
            return Outcome(f"id-{len(made)}", {"made": len(made)}, secrets=("made",))

        def update(self, resource_id, old, new):
            made.append(("update", resource_id))
            return {"updated": True}

        def delete(self, resource_id, inputs, outputs):
            made.append(("delete", resource_id))

    monkeypatch.setitem(KINDS, TYPE, Thing)
    return made


def thing(name="a", inputs=None, **options):
    return Registration(urn=f"urn::{name}", type=TYPE, name=name, inputs=inputs or {}, **options)


def run(path, *registrations):
    """One run of a program; returns its entries and what happened."""
    events = []
    engine = Engine(None, State.load(path), lambda event: events.append((event.step, event.name)) if event.done else 0)
    entries = [engine.register(registration) for registration in registrations]
    engine.finish()
    return entries, events


def test_the_same_twice_is_no_work(tmp_path, calls):
    path = tmp_path / "state"
    (first,), _ = run(path, thing(inputs={"x": 1}))
    (second,), events = run(path, thing(inputs={"x": 1}))
    assert events == [(Step.SAME, "a")]
    assert (second.id, second.outputs, second.secrets) == (first.id, first.outputs, ["made"])
    assert calls == [("create", "a")]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_updates_in_place(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"x": 1}))
    (entry,), events = run(path, thing(inputs={"x": 2}))
    assert events == [(Step.UPDATE, "a")]
    assert entry.id == "id-1"
    assert entry.outputs == {"made": 1, "updated": True}


def test_another_default_tag_is_a_change(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"tags": {"Name": "a"}}, default_tags={"Stack": "x"}))
    (entry,), events = run(path, thing(inputs={"tags": {"Name": "a"}}, default_tags={"Stack": "y"}))
    assert events == [(Step.UPDATE, "a")]
    assert entry.inputs["tagsAll"] == {"Stack": "y", "Name": "a"}


def test_what_cannot_change_is_replaced_the_new_one_first(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"size": 1}))
    (entry,), events = run(path, thing(inputs={"size": 2}))
    assert calls[1:] == [("create", "a"), ("delete", "id-1")]
    assert entry.id == "id-2"
    assert events == [(Step.REPLACE, "a"), (Step.DELETE, "a")]


def test_delete_before_replace(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"size": 1}))
    run(path, thing(inputs={"size": 2}, delete_before_replace=True))
    assert calls[1:] == [("delete", "id-1"), ("create", "a")]


def test_a_retained_resource_is_replaced_and_left(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"size": 1}, retain=True))
    run(path, thing(inputs={"size": 2}, retain=True))
    assert calls[1:] == [("create", "a")]


def test_a_protected_resource_is_not_replaced(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"size": 1}, protect=True))
    with pytest.raises(ResourceError, match=r"'a'.*protected"):
        run(path, thing(inputs={"size": 2}, protect=True))


def test_ignored_changes_are_none(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"size": 1, "x": 1}))
    (entry,), events = run(path, thing(inputs={"size": 2, "x": 1}, ignore_changes=frozenset({"size"})))
    assert events == [(Step.SAME, "a")]
    assert entry.inputs["size"] == 1


def test_replace_on_changes(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(inputs={"x": 1}))
    _, events = run(path, thing(inputs={"x": 2}, replace_on_changes=frozenset({"x"})))
    assert (Step.REPLACE, "a") in events


def test_what_is_gone_is_deleted_the_newest_first(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing("a"), thing("b"), thing("c"))
    _, events = run(path, thing("b"))
    assert calls[3:] == [("delete", "id-3"), ("delete", "id-1")]
    assert events == [(Step.SAME, "b"), (Step.DELETE, "c"), (Step.DELETE, "a")]


def test_what_is_gone_and_retained_is_forgotten(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(retain=True))
    _, events = run(path)
    assert events == [(Step.RETAIN, "a")]
    assert calls == [("create", "a")]
    assert not State.load(path).entries


def test_what_is_gone_and_protected_is_an_error(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing(protect=True))
    with pytest.raises(ResourceError, match="protected, and the program no longer declares it"):
        run(path)


def test_what_is_gone_may_go_once_it_is_unprotected(tmp_path, calls):
    path = tmp_path / "state"
    run(path, thing("a", protect=True), thing("b", protect=True), thing("c"))
    state = State.load(path)
    with pytest.raises(RehearsalError, match="no protected resource is called c, d; protected are: a, b"):
        state.unprotect(["a", "c", "d"])
    assert all(State.load(path).entries[f"urn::{name}"].protect for name in "ab"), "all of them or none"
    state.finish({"url": "x"}, [])
    state.unprotect(["a"])
    again = State.load(path)
    assert again.complete
    assert again.outputs == {"url": "x"}
    _, events = run(path, thing("b", protect=True), thing("c"))
    assert (Step.DELETE, "a") in events
    with pytest.raises(ResourceError, match=r"protected.*unprotect --stack NAME b"):
        run(path, thing("c"))


def test_an_interrupted_run_forgets_nothing(tmp_path, calls):
    path = tmp_path / "state"
    with pytest.raises(ResourceError, match="Creating test:index/thing:Thing 'b' failed: no room"):
        run(path, thing("a"), thing("b", {"refuse": True}))
    assert list(State.load(path).entries) == ["urn::a"]
    assert not State.load(path).complete
    _, events = run(path, thing("a"), thing("b"))
    assert events == [(Step.SAME, "a"), (Step.CREATE, "b")]


def test_two_resources_of_one_name_are_refused(tmp_path, calls):
    with pytest.raises(ResourceError, match="two resources"):
        run(tmp_path / "state", thing(), thing())


def test_an_unknown_type_is_named():
    with pytest.raises(UnknownTypeError, match="aws:sqs/queue:Queue"):
        kind_of("aws:sqs/queue:Queue")


def test_top_level_properties_of_paths():
    assert top_level(frozenset({"tags.Name", 'tags["x"]', "ami", "a[0].b"})) == {"tags", "ami", "a"}
