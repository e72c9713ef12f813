"""The names of interactEM's streams for results that are shown."""

__all__ = ["STREAM_IMAGES", "STREAM_TABLES"]

STREAM_IMAGES = "img"
STREAM_TABLES = "tbl"
