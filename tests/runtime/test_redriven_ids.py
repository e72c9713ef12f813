from __future__ import annotations

from interactem.runtime.applied import AppliedIds
from interactem.runtime.ids import file, output_id, redriven_id, source_id, text


def test_a_redriven_message_has_a_root_of_its_own():
    message_id = text(*output_id(*source_id("frames~1", 17), 2, 0))
    once = redriven_id(message_id, 1)
    assert once == "frames~1!1.17/2.0"
    assert redriven_id(once, 2) == "frames~1!2.17/2.0"
    assert redriven_id("frames.3", 1) == "frames!1.3"


def test_it_is_not_taken_for_something_seen():
    applied = AppliedIds()
    applied.add(0, *file("frames.17/2.0"))
    applied.forget("frames", 1000)
    assert applied.seen(0, *file("frames.17/2.0"))
    assert not applied.seen(0, *file(redriven_id("frames.17/2.0", 1)))
