"""Equal processes of one command, supervised: what `interactem supervise` does."""

from interactem.engine.workers.policy import Policy, Reaction, parse_restart, worker_environment
from interactem.engine.workers.supervising import find_command, supervise

__all__ = ["Policy", "Reaction", "find_command", "parse_restart", "supervise", "worker_environment"]
