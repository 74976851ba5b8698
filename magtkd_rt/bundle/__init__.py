"""A bundle: trained graphs with all that is needed to use them, hashed and checked."""
