"""Params: strict YAML in, frozen typed dataclasses out, with the origin of every value."""
