"""What cleanup may touch: names of the stack and nobody else's."""

from __future__ import annotations

import pytest

from rehearsal import cleanup
from rehearsal.paths import StackPaths


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with three stacks' control groups and none of the kernel's real ones."""
    groups = tmp_path / "cgroup"
    names = ("tripod-dev-server-1", "tripod-dev-2-server-1", "tripod-prod-server-1", "system.slice", "tripod-dev")
    for name in names:
        (groups / name).mkdir(parents=True)
    monkeypatch.setattr(cleanup, "hierarchy", lambda: groups)
    monkeypatch.setattr("rehearsal.cgroup.hierarchy", lambda: groups)
    monkeypatch.setattr(cleanup.Cgroup, "kill", lambda _: None)  # plain directories have no cgroup.kill
    monkeypatch.setattr(cleanup.namespace, "DIRECTORY", tmp_path / "netns")
    monkeypatch.setattr(cleanup, "attached_below", lambda _: [])
    return groups


def left(groups):
    return sorted(entry.name for entry in groups.iterdir())


def test_only_the_stacks_own_names_go(machine, tmp_path):
    root = tmp_path / "state"
    (root / "dev").mkdir(parents=True)
    (root / "dev-2").mkdir()
    assert cleanup.cleanup("dev", state_root=root).cgroups == ["tripod-dev-server-1"]
    assert left(machine) == ["system.slice", "tripod-dev", "tripod-dev-2-server-1", "tripod-prod-server-1"]
    assert not (root / "dev").exists()
    assert (root / "dev-2").exists()


def test_a_name_that_was_claimed_is_the_stacks_whatever_else_it_looks_like(machine, tmp_path):
    root = tmp_path / "state"
    paths = StackPaths("dev", root)
    assert paths.claim("2-server-1") == "tripod-dev-2-server-1"
    assert "tripod-dev-2-server-1" in cleanup.cleanup("dev", state_root=root).cgroups


def test_files_can_be_kept(machine, tmp_path):
    paths = StackPaths("dev", tmp_path)
    paths.claim("server-1")
    cleanup.cleanup("dev", keep_files=True, state_root=tmp_path)
    assert paths.directory.is_dir()
    assert cleanup.leftovers("dev", state_root=tmp_path) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "Dev", "-a", "a-", "a b"])
def test_a_stacks_name_cannot_lead_elsewhere(name):
    with pytest.raises(ValueError, match="stack name"):
        StackPaths(name)
