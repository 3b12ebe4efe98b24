"""The parts of a Queue that steer it: its hold rules, transports, routes, schedules, accounts, history ...

The rule: every verb is one call of a function in `engine`.
"""

from mailqueue.faces.history import IncomingMail, Retired
from mailqueue.faces.hooks import RetiredWebhooks, Webhooks
from mailqueue.faces.senders import Accounts, SenderDomains, Suppressions
from mailqueue.faces.traffic import Destinations, HoldRules, ShapingRules
from mailqueue.faces.ways import ReplyRules, Routes, Schedules, Transports

__all__ = [
    "Accounts",
    "Destinations",
    "HoldRules",
    "IncomingMail",
    "ReplyRules",
    "Retired",
    "RetiredWebhooks",
    "Routes",
    "Schedules",
    "SenderDomains",
    "ShapingRules",
    "Suppressions",
    "Transports",
    "Webhooks",
]
