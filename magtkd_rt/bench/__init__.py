"""Measurements of a whole server with its clients, from outside."""
