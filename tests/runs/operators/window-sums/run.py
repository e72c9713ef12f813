"""Sums up the numbers of each window, apart for each remainder by three; a number is its own event time."""

from interactem.runtime import BytesMessage, MessageHeader, Sliding, operator


@operator.reduce(
    window=Sliding(20, 10), key=lambda message: message.meta["number"] % 3, event_time="meta.number", patience=600
)
def sums(key, messages, window):
    place = 10 * int(window.start + 10) + key
    yield BytesMessage(MessageHeader(meta={"number": place, "square": sum(one.meta["number"] for one in messages)}))
