"""Text that others have written: in results, journals, logs, labels of images."""


def harmless(text: str) -> str:
    """Replace what is no text: lone surrogates, and controls but for tabs and ends of lines.

    A terminal would take an escape sequence for an order, fixed-length UTF-8 holds neither NUL nor
    half a character, and what overrides or embeds a direction mirrors all that follows it.
    """
    if text.isprintable():
        return text
    whole = text.encode(errors="replace").decode()
    return whole.translate(_CONTROLS)


_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (Annex 9)."""

_CONTROLS = {
    code: "\ufffd"
    for code in (*range(32), *range(127, 160), *_DIRECTIONS)
    if chr(code) not in "\t\n\r"
}
