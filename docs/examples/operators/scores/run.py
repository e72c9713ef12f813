import numpy as np

from interactem.runtime import BytesMessage, operator

weights = np.array([[0.5], [0.25], [0.25]])


@operator.batch(max_size=32, max_wait=0.1)
def scores(inputs, parameters):
    found = np.stack([message.array for message in inputs]) @ weights
    return [BytesMessage.from_array(score) for score in found]
