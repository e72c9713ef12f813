from interactem.runtime import BytesMessage, operator


@operator.source
def count(parameters, context):
    for number in range(context.position, parameters["count"]):
        yield BytesMessage(data=str(number).encode())
