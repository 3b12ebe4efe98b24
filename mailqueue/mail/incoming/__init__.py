"""What is this message that came back? One door for all that a return address receives.

`read` tells a delivery report (of any writer, with or without a part for programs) and a complaint
from all else, and gives what it takes to find the mail that it is about. Its one rule: an ordinary
message is never taken for a bounce; what is not sure is `Unrecognized`.

RFC 3464, RFC 5965, RFC 8098, RFC 3834.
"""

from __future__ import annotations

from mailqueue.mail.incoming.judge import read
from mailqueue.mail.incoming.model import Bounce, Complaint, Hints, Kind, Source, Unrecognized

__all__ = ["Bounce", "Complaint", "Hints", "Kind", "Source", "Unrecognized", "read"]
