"""Contents in which dots and line ends are what matters, and what a remote should have of them."""

import re

from hypothesis import strategies as st

LINE_END = re.compile(rb"\r\n|\r|\n")
# Dots and line ends are most of what is drawn.
contents = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\0", b"\xff", b"a" * 5000]
        ),
        st.binary(max_size=8),
    ),
    max_size=24,
).map(b"".join)


def expected(content: bytes) -> bytes:
    """Return the content as the remote should have it: CRLF only, and one at the end."""
    lines = LINE_END.sub(b"\r\n", content)
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


def pieces(data: st.DataObject, content: bytes) -> list[bytes]:
    """Draw how a content is cut into pieces, and return them."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    return [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
