"""The documentation is current: generated parts, commands, links, decision records."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from botocore import xform_name

from components.backups import OLD_VERSIONS_DAYS
from tests.typed import check, commands, service_model
from tests.userdata.topologies import preset
from tools import redact
from tools.document import generated, insert, stacks
from topology import ports
from topology.build import build_topology
from topology.model import Backup
from topology.names import Account, password_parameter
from topology.picture import draw
from topology.settings import Settings
from userdata.app.files import DATABASE, UNIT, environment
from userdata.haproxy.files import configuration
from userdata.render import bundle

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def code(page: Path) -> str:
    """Everything of a page that is set as code."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL))


def test_generated_parts_are_current():
    stale = [
        str(path.relative_to(ROOT))
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {stale}"


def test_a_part_without_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        insert("# Nothing here", "configuration", "| Key |\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_make_exist(page):
    used = set(re.findall(r"\bmake ([a-z]+)\b", code(page)))
    assert used <= targets()


def test_every_command_of_make_is_described():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    # `check` is what `lint` and `test` share.
    assert targets() - described == {"check"}


def test_modules_that_pages_run_exist():
    for page in PAGES:
        for module in re.findall(r"python -m ([a-z_.]+)", code(page)):
            path = ROOT.joinpath(*module.split("."))
            assert module == "pytest" or path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_a_rehearsal_takes_what_make_is_given():
    given = ["STACK=prod", "DISTRIBUTION=ubuntu", "ARTIFACT=the site.tar.gz"]
    done = subprocess.run(
        ["make", "--dry-run", "rehearse", *given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = (line for line in done.stdout.replace("\\\n", "").splitlines() if "rehearsal up" in line)
    options = ["--stack", "prod", "--distribution", "ubuntu", "--artifact", "the site.tar.gz"]
    assert shlex.split(line) == [".venv/bin/python", "-m", "rehearsal", "up", *options]


def test_the_rights_that_operations_needs_are_documented():
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    section = text.split("## Another person")[1].split("\n## ")[0]
    needed = set()
    for source in (ROOT / "operations").rglob("*.py"):
        for service, operation in re.findall(r'\.(?:call|pages)\(\s*"(\w+)",\s*"(\w+)"', source.read_text()):
            names = {xform_name(name): name for name in service_model(service).operation_names}
            needed.add(names[operation])
    assert len(needed) > 10
    # Everybody may ask who he is (STS API reference, GetCallerIdentity).
    assert {name for name in needed if f"{name}`" not in section} == {"GetCallerIdentity"}


OWN = re.compile(r"(?:\.venv/bin/)?python -m (?:operations|rehearsal) .*--|aws [a-z0-9]+ [a-z]+-")


def typed(page: Path) -> list[str]:
    """Commands of this project's programs and of AWS, in blocks and within lines; without an option it is a mention."""
    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    # A span may go on in the next line.
    lines = [*commands(text), *(" ".join(span.split()) for span in spans)]
    return [line for line in lines if OWN.match(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_can_be_typed(page):
    for line in typed(page):
        check(line if line.startswith((".venv", "aws")) else f".venv/bin/{line}")


def test_commands_are_found():
    found = {page.name: len(typed(page)) for page in PAGES}
    assert found["README.md"] > 10
    assert found["restore.md"] > 3
    assert found["runbook.md"] > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if not link.startswith("https://") and not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_record_is_complete(record):
    text = record.read_text(encoding="utf-8")
    assert re.match(rf"# {int(record.name[:4])}\. ", text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_decision_records_are_numbered_without_gaps():
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_pictures_show_every_server_and_role():
    for topology in stacks():
        shown = "".join(ElementTree.fromstring(draw(topology)).itertext())
        for server in topology.servers:
            assert server.name in shown
            assert str(server.address) in shown


def test_a_picture_grows_with_the_stack():
    roles = ["app"], ["database"], ["read_replica"]
    servers = [{"name": "server-1", "roles": ["load_balancer", "app", "database"]}]
    servers += [{"name": f"server-{n}", "roles": roles[n % 3]} for n in range(2, 8)]
    topology = build_topology(Settings.parse({"servers": servers}), stack="large", region="eu-west-1")
    picture = ElementTree.fromstring(draw(topology))
    boxes = [element for element in picture.iter() if element.get("class") == "server"]
    assert len(boxes) == len(servers)
    assert max(float(box.get("x", 0)) for box in boxes) < float(picture.get("width", 0))


def test_a_preview_sees_no_secret():
    secret = {redact.SIGNATURE: redact.SECRET, "ciphertext": "djE6c2VjcmV0"}
    exported = {
        "version": 3,
        "deployment": {
            "secrets_providers": {"type": "cloud", "state": {"encryptedkey": "djE6a2V5"}},
            "resources": [{"urn": "urn:a", "outputs": {"result": secret, "length": 32, "list": [secret]}}],
        },
    }
    scratch = redact.scratch(exported, "v1:salt")
    assert "djE6" not in json.dumps(scratch)
    assert scratch["deployment"]["secrets_providers"] == {"type": "passphrase", "state": {"salt": "v1:salt"}}
    plain = {redact.SIGNATURE: redact.SECRET, "plaintext": '"redacted"'}
    assert scratch["deployment"]["resources"][0]["outputs"] == {"result": plain, "length": 32, "list": [plain]}


@pytest.mark.parametrize("given", [{}, {"version": 3, "deployment": None}], ids=str)
def test_what_is_no_state_is_refused(given):
    with pytest.raises(ValueError, match="not the state of a stack"):
        redact.scratch(given, "v1:salt")


def test_every_action_of_the_workflows_is_pinned_by_commit():
    lines = [line for file in (ROOT / ".github" / "workflows").glob("*.yml") for line in file.read_text().splitlines()]
    used = [line.split("uses: ", 1)[1] for line in lines if "uses: " in line]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


def test_the_redacting_program_needs_the_scratch_stacks_salt(tmp_path, monkeypatch, capsys):
    file = tmp_path / "Pulumi.scratch.yaml"
    exported = {"version": 3, "deployment": {"resources": []}, "pending_operations": []}
    monkeypatch.setattr("sys.argv", ["redact", str(file)])
    file.write_text("encryptionsalt: v1:salt\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(exported)))
    redact.main()
    assert json.loads(capsys.readouterr().out)["deployment"]["secrets_providers"]["state"] == {"salt": "v1:salt"}
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    with pytest.raises(SystemExit, match="cannot be used: this is not the state of a stack"):
        redact.main()
    file.write_text("config: {}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no encryptionsalt"):
        redact.main()


def test_what_an_application_is_told_and_may_use_is_documented():
    text = (ROOT / "docs" / "application.md").read_text(encoding="utf-8")
    topology = preset("reference")
    server = topology.apps[0]
    set_for_it = dict(line.split("=", 1) for line in environment(topology, server).splitlines())
    assert set(re.findall(r"`(TRIPOD_[A-Z_]+)`", text)) == set(set_for_it)
    (unit,) = (file.content for file in bundle(topology, server).files if file.path.endswith(f"/{UNIT}"))
    memory = re.search(r"^MemoryMax=(\d+)%$", unit, re.MULTILINE)
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)
    assert memory
    assert f"at most {memory[1]} % of the server's" in text
    assert stop
    assert f"SIGKILL {stop[1]} s later" in text


def test_what_the_load_balancer_does_to_requests_is_documented():
    text = (ROOT / "docs" / "application.md").read_text(encoding="utf-8")
    topology = preset("reference")
    haproxy = configuration(topology, topology.load_balancers[0])

    def found(pattern: str) -> list[str]:
        return re.findall(pattern, haproxy, re.MULTILINE)

    for header in (*found(r"request set-header (\S+)"), *found(r"request del-header (\S+)$")):
        assert f"`{header}`" in text
    assert found(r'Strict-Transport-Security "max-age=(\d+)"') == [str(2 * 365 * 24 * 3600)]
    assert "`Strict-Transport-Security` for two years" in text
    shapes = (r"bufsize (\d+)", r"maxrewrite (\d+)", r"maxhdr (\d+)", r"conn_cur gt (\d+)", r"hard-stop-after (\d+)s")
    size, rewrite, headers, connections, hard_stop = (int(*found(shape)) for shape in shapes)
    # HAProxy counts the request line as a header (configuration manual, tune.http.maxhdr).
    assert f"{(size - rewrite) // 1024} KiB in all, {headers - 1} headers" in text
    assert f"{connections} at once" in text
    assert f"{hard_stop} s more" in text
    waits = [found(rf"^    timeout {one} (\S+)")[0] for one in ("http-request", "client", "server", "tunnel")]
    assert waits == ["10s", "30s", "15s", "1h"]
    assert "headers within 10 s; then a pause of 30 s at most" in text
    assert "begins within 15 s; then a pause of 15 s at most" in text
    assert "an hour without a byte" in text


def test_the_readers_password_is_where_the_restore_page_says():
    text = (ROOT / "docs" / "restore.md").read_text(encoding="utf-8")
    assert f"--name {password_parameter('dev', Account.APP_READER)} " in text
    assert f"--user={Account.APP_READER.value} --password {DATABASE}\n" in text
    assert f"portNumber={ports.MYSQL}," in text


def test_what_backups_cost_counts_expired_ones_too():
    """What expires in a versioned bucket stays as an old version (Amazon S3 user guide, "Expiring objects")."""
    text = " ".join((ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split())
    kept, old = Backup().keep_days, OLD_VERSIONS_DAYS
    assert f"as much as {kept + old} days of them are: `keepDays` ({kept}), and {old} days more as old versions" in text
