import json

from interactem.runtime import BytesMessage, operator


@operator
def invoice(inputs, context):
    prices = context.side_inputs["prices"]
    order = json.loads(bytes(inputs.data))
    return BytesMessage(data=str(sum(prices[item] for item in order)).encode())
