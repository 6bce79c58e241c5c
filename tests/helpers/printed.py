"""The letters of a PDF that Chromium (Skia) printed: glyphs by way of each font's ToUnicode map, without white space."""

import re
import unicodedata
import zlib

HEX = r"<([0-9A-Fa-f]+)>"


def letters(pdf: bytes) -> str:
    """Of all pages, in the order in which they are drawn; spaces are left out, which a PDF may set or skip."""
    objects = {int(number): body for number, body in re.findall(rb"(?:^|\n)(\d+) 0 obj\b(.*?)\nendobj", pdf, re.S)}
    fonts = {number: _map(_stream(objects[int(at)])) for number, at in _fonts(objects)}
    return "".join(_shown(_stream(body), fonts) for body in objects.values() if b"stream" in body)


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _fonts(objects: dict[int, bytes]) -> list[tuple[str, int]]:
    """Name of a font in the pages' resources, and the object that holds its map."""
    named = {(name.decode(), int(at)) for body in objects.values() for name, at in re.findall(rb"/(F\d+) (\d+) 0 R", body)}
    maps = {number: found for number, body in objects.items() if (found := re.search(rb"/ToUnicode (\d+) 0 R", body))}
    return [(name, int(maps[at][1])) for name, at in named if at in maps]


def _stream(body: bytes) -> str:
    data = body.partition(b"stream")[2].lstrip(b"\r\n").rpartition(b"endstream")[0]
    if b"/FlateDecode" in body:
        data = zlib.decompressobj().decompress(data)
    return data.decode("latin-1")


def _map(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in re.findall(r"beginbfchar(.*?)endbfchar", text, re.S):
        found |= {int(glyph, 16): _unicode(to) for glyph, to in re.findall(rf"{HEX}\s*{HEX}", part)}
    for part in re.findall(r"beginbfrange(.*?)endbfrange", text, re.S):
        for first, last, to in re.findall(rf"{HEX}\s*{HEX}\s*{HEX}", part):
            start = int(first, 16)
            found |= {glyph: chr(int(to, 16) + glyph - start) for glyph in range(start, int(last, 16) + 1)}
    return found


def _unicode(code: str) -> str:
    return bytes.fromhex(code).decode("utf-16-be")


def _shown(content: str, fonts: dict[str, dict[int, str]]) -> str:
    out: list[str] = []
    font: dict[int, str] = {}
    for name, glyphs in re.findall(rf"/(F\d+) [\d.]+ Tf|{HEX}(?=[^()]*?T[jJ])", content):
        if name:
            font = fonts.get(name, {})
        else:
            out += [font.get(int(glyphs[i : i + 4], 16), "") for i in range(0, len(glyphs), 4)]
    return squeezed(unicodedata.normalize("NFKC", "".join(out)))  # fi and fl as letters
