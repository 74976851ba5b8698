"""Recipes that make a bundle from corpora; installed as `magtkd_rt.train`."""
