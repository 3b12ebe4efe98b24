"""The only floor that joins decisions, storage and network."""
