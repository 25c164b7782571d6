"""What an implementation most likely got wrong, from how its answers differ."""
