"""Says the word that `pass-on-with-word` wants to hear."""

from interactem.runtime import operator


@operator.side_input
def word():
    return "pass"
