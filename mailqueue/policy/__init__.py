"""Decisions as pure functions of values and `now`: no store, no network, no clock of their own."""
