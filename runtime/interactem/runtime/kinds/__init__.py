"""Kinds of operators beside those whose kernel is called with one message: each a module of its own."""
