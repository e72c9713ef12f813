"""What tests of operators and pipelines stand on: the fixtures of the pytest plugin, and what they give."""
