import json

from interactem.runtime import BytesMessage, operator


@operator.batch(max_size=100)
def column(inputs, parameters):
    for message in inputs:
        try:
            value = json.loads(bytes(message.data))[parameters["column"]]
        except (KeyError, ValueError) as error:
            yield message, error
        else:
            yield message, BytesMessage(data=str(value).encode())
