"""The live page of a rehearsal: the drawing of the stack as it is now, and buttons that break it."""
