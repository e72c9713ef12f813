from interactem.runtime import BytesMessage, operator


@operator
def words(inputs):
    for word in bytes(inputs.data).split():
        yield BytesMessage(data=word)
