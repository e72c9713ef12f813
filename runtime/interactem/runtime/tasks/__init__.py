"""Tasks from a file: an operator is called with each line of one file, and what it makes is a line of another."""

from interactem.runtime.tasks.lines import CANCELLED, FAILED, SUCCESS, Task, TaskError, parse_task, result_line

__all__ = ["CANCELLED", "FAILED", "SUCCESS", "Task", "TaskError", "parse_task", "result_line"]
