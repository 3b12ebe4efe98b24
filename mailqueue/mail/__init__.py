"""A library about Internet mail that stands on its own: no queue, no I/O, no clock."""
