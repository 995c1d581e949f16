"""Which trials go on: rules that compare learning curves while trials run, and what such a rule risked. Pure."""
