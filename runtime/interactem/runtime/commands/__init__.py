"""Operators that wrap an executable. Imported where an `operator.json` has a `command` alone."""
