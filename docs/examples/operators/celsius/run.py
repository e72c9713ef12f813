import json

from interactem.runtime import BytesMessage, operator


@operator
def celsius(inputs, parameters):
    reading = json.loads(bytes(inputs.data))
    if reading["fahrenheit"] is None:
        return None
    value = round((reading["fahrenheit"] - 32) / 1.8, parameters["digits"])
    return BytesMessage(data=json.dumps({"sensor": reading["sensor"], "celsius": value}).encode())
