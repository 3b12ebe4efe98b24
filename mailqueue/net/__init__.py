"""The outside: names are looked up and connections held here; what is said on them is decided elsewhere."""
