"""Torch modules: the students and MAGT. The live runtime never imports them."""
