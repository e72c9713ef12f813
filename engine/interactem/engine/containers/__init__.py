"""Replicas as containers: the engines, what containers are made like, and what is left of them."""
