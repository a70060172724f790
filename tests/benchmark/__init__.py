"""How long one evaluation of the program takes, and whether it grows no faster than the number of servers."""
