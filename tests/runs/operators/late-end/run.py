"""Takes too long at the end of the stream."""

import time

from interactem.runtime import operator


def finish():
    time.sleep(1000)


@operator(finish=finish)
def take(inputs, parameters):
    pass
