"""`python -m magtkd_rt.wire > docs/schema.json`."""

from magtkd_rt.wire import schema_text

print(schema_text(), end="")
