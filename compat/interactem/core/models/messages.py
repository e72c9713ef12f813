"""Messages, under interactEM's path."""

from interactem.runtime import BytesMessage, MessageHeader, MessageSubject

__all__ = ["BytesMessage", "MessageHeader", "MessageSubject"]
