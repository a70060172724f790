"""`python -m rehearsal COMMAND`."""

from rehearsal.cli import main

if __name__ == "__main__":
    main(prog_name="python -m rehearsal")
