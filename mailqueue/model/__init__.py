"""The nouns of mailqueue as frozen values. No queue, no I/O, no decisions."""
