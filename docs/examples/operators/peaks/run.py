from interactem.runtime import BytesMessage, Fixed, operator


@operator.reduce(window=Fixed(60), key="meta.sensor")
def peaks(key, messages, window):
    peak = max(message.meta["value"] for message in messages)
    return BytesMessage(data=f"{key} from {window.start:g}: {peak:g}".encode())
