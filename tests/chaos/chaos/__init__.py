"""Runs pipelines while they are disturbed, and checks that nothing is lost and nothing doubled."""
