"""The `interactem` command."""
