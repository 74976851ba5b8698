"""Corpora of conversations, one reader a file; `recognise` tells which one a folder holds."""
