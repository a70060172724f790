"""`.venv/bin/python -m operations COMMAND`."""

import sys

try:
    from operations.cli import main
except ModuleNotFoundError as missing:
    sys.exit(
        f"{sys.executable} has no package '{missing.name}'. Tripod's packages are in .venv, "
        "which `tools/bootstrap lint` makes: .venv/bin/python -m operations"
    )

if __name__ == "__main__":
    main()
