"""Fixtures that any test may ask for."""

from support.postfix import postfix

__all__ = ["postfix"]
