"""The record of a run: the report's model, its writer and reader, several of them merged, what differs between two."""
