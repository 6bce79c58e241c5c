"""Which signs stand for themselves: of scripts that write without spaces a word's bounds are nowhere to be seen."""

import re

# Thai, Lao, Burmese, Khmer, kana, Chinese characters, and Hangul, whose spaces part phrases with their endings
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
SIGN = re.compile(f"[{UNSPACED}]")
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")  # a word, or one such sign
