"""Messages in flight: several calls of one kernel at once, or one call with several messages."""
