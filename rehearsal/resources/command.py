"""Commands on the machine that runs the program: they run for real, against the emulated AWS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind


class CommandFailedError(Exception):
    """A local command ended with another code than 0."""


_running: set[subprocess.Popen[str]] = set()


def end_all() -> None:
    """End every command that runs now; its resource fails. For an interrupted or a failed run."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


@kind("command:local:Command")
class Command(Kind):
    """`command.local.Command`: `create` runs at creation and replacement, `update` (or `create`) on a change."""

    replace_on = frozenset({"triggers"})

    def create(self, name: str, inputs: Inputs) -> Outcome:
        return Outcome(f"{name}-{os.urandom(6).hex()}", self._run(inputs.get("create"), inputs))

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return self._run(new.get("update") or new.get("create"), new)

    def delete(self, resource_id: str, inputs: Inputs, outputs: Outputs) -> None:  # noqa: ARG002
        self._run(inputs.get("delete"), inputs)

    def _run(self, script: str | None, inputs: Inputs) -> Outputs:
        if script is None:
            return {"stdout": "", "stderr": ""}
        interpreter = inputs.get("interpreter") or ["/bin/sh", "-c"]
        environment = {
            **os.environ,
            # As inside Pulumi's own virtual environment: `python` is the one that runs the program.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            **{key: str(value) for key, value in (inputs.get("environment") or {}).items()},
            **self.aws.environment,
        }
        # A profile of the user's would lead to a real account.
        environment.pop("AWS_PROFILE", None)
        process = subprocess.Popen(
            [*interpreter, script],
            cwd=self.aws.project / (inputs.get("dir") or "."),
            env=environment,
            stdin=subprocess.PIPE if inputs.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own, which end_all() ends: the shell and what it started.
            start_new_session=True,
        )
        _running.add(process)
        errors: list[str] = []

        def follow() -> None:
            assert process.stderr is not None  # noqa: S101  (PIPE above)
            for line in process.stderr:
                errors.append(line)
                self.aws.say(line.rstrip())

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        assert process.stdout is not None  # noqa: S101  (PIPE above)
        if process.stdin is not None:
            process.stdin.write(str(inputs["stdin"]))
            process.stdin.close()
        output: list[str] = []
        for line in process.stdout:
            output.append(line)
            self.aws.say(line.rstrip())
        code = process.wait()
        _running.discard(process)
        follower.join()
        if code != 0:
            said = "".join(errors).strip() or "".join(output).strip()
            raise CommandFailedError(f"the command ended with code {code}: {said}")
        return {"stdout": "".join(output).rstrip("\n"), "stderr": "".join(errors).rstrip("\n")}
