"""Schemas as code."""
