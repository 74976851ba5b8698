"""A session on real threads, with a real clock and real models."""
