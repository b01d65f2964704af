"""Text that others have written: in results, journals, logs, labels of images."""


def harmless(text: str) -> str:
    """Replace what is no text: lone surrogates, and controls but for tabs and ends of lines.

    A terminal would take an escape sequence for an order, and fixed-length UTF-8 holds neither NUL
    nor half a character.
    """
    if text.isprintable():
        return text
    whole = text.encode(errors="replace").decode()
    return whole.translate(_CONTROLS)


_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}
