"""`.venv/bin/python -m rehearsal COMMAND`."""

import sys

try:
    from rehearsal.cli import main
    from rehearsal.paths import invocation
except ModuleNotFoundError as missing:
    sys.exit(
        f"{sys.executable} has no package '{missing.name}'. Tripod's packages are in .venv, "
        "which `tools/bootstrap lint` makes: .venv/bin/python -m rehearsal"
    )

if __name__ == "__main__":
    main(prog_name=invocation())
