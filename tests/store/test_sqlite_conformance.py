"""The contract of every store, kept by the SQLite store."""

from store.conformance.claim import *  # noqa: F403
from store.conformance.expiry import *  # noqa: F403
from store.conformance.hooks import *  # noqa: F403
from store.conformance.incoming import *  # noqa: F403
from store.conformance.lists import *  # noqa: F403
from store.conformance.outbox import *  # noqa: F403
from store.conformance.quota import *  # noqa: F403
from store.conformance.read import *  # noqa: F403
from store.conformance.settle import *  # noqa: F403
from store.conformance.stats import *  # noqa: F403
from store.conformance.steer import *  # noqa: F403
from store.conformance.submit import *  # noqa: F403
from store.conformance.suppression import *  # noqa: F403
from store.conformance.traffic import *  # noqa: F403
from store.conformance.wishes import *  # noqa: F403
