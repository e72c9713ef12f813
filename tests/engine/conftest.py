from __future__ import annotations

import fnmatch

import pytest


class Shelf:
    """What a run has stored in its broker, by subject, without a broker."""

    def __init__(self):
        self.stored = {}

    async def store(self, item):
        self.stored[item.subject] = item.payload

    async def last(self, stream, subjects):
        patterns = [subject.replace(">", "*") for subject in subjects]
        return {s: p for s, p in self.stored.items() if any(fnmatch.fnmatch(s, pattern) for pattern in patterns)}

    async def last_one(self, stream, subject):
        return self.stored[subject]

    async def ask(self, subject, value):
        assert subject.startswith("$JS.API.STREAM.PURGE.")
        for found in await self.last("", [value["filter"]]):
            del self.stored[found]
        return {}


@pytest.fixture
def shelf():
    return Shelf()
