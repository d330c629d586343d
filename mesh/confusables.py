"""Letters that look like Latin ones and that Unicode's NFKC leaves alone.

After the Unicode Consortium's confusables.txt (Unicode Technical Standard 39, "Unicode Security
Mechanisms", section 4), narrowed to what replaces English letters in practice. It goes further in
three things: the other case of a look-alike maps as it does (н as Н), so that the case of a text
makes no difference; letters with a stroke or a hook, which have no decomposition, count as
accented; and what common generators of "fancy text" use for a letter is read as it (ε for e, ω for
w, ¢ for c).

Four Greek letters look like different Latin letters in their two cases (Η and η, Μ and μ, Ν and ν,
Υ and υ). Shape decides for them, so Greek written in capitals matches only Greek written in
capitals.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_CYRILLIC = {
    "a": "Аа", "b": "ВвЬь", "c": "СсҪҫ", "d": "Ԁԁ", "e": "ЕеЄєҼҽҾҿ", "f": "Ғғ", "g": "Ԍԍ",
    "h": "НнҺһҢңӇӈӉӊ", "i": "Іі", "j": "Јј", "k": "КкҚқҜҝҞҟҠҡӃӄ", "l": "Ӏӏ", "m": "МмӍӎ",
    "n": "Пп", "o": "ОоӨөѲѳ", "p": "РрҎҏ", "q": "Ԛԛ", "r": "ГгЯя", "s": "Ѕѕ", "t": "ТтҬҭ",
    "v": "Ѵѵ", "w": "ѠѡԜԝШш", "x": "ХхҲҳӼӽӾӿ", "y": "УуҮүҰұ", "3": "ЗзӠӡ", "ae": "Ӕӕ",
}  # fmt: skip

_GREEK = {
    "a": "Αα", "b": "Ββ", "c": "Ϲϲ", "e": "Εε", "h": "Η", "i": "Ιι", "j": "Ϳϳ", "k": "Κκ",
    "m": "Μ", "n": "Νη", "o": "Οοσ", "p": "Ρρ", "t": "Ττ", "u": "μυ", "v": "ν", "w": "ω",
    "x": "Χχ", "y": "Υγ", "z": "Ζζ",
}  # fmt: skip

_ARMENIAN = {
    "f": "ք", "g": "ց", "h": "հ", "j": "յ", "l": "Լլ", "n": "ոռ", "o": "Օօ", "q": "գզ", "s": "Տտ",
    "u": "Սս", "w": "ա",
}  # fmt: skip

_CHEROKEE = {
    "a": "Ꭺ", "b": "ᏏᏴ", "c": "Ꮯ", "d": "ᎠᏧ", "e": "Ꭼ", "g": "ᏀᏳ", "h": "ᎻᏂ", "i": "Ꭵ", "j": "Ꭻ",
    "k": "Ꮶ", "l": "Ꮮ", "m": "Ꮇ", "p": "Ꮲ", "r": "ᎡᏒ", "s": "ᏕᏚ", "t": "Ꭲ", "v": "Ꮩ", "w": "ᎳᏔ",
    "y": "ᎩᎽ", "z": "Ꮓ", "4": "Ꮞ", "6": "Ꮾ",
}  # fmt: skip

_COPTIC = {
    "a": "Ⲁⲁ", "b": "Ⲃⲃ", "c": "Ⲥⲥ", "e": "Ⲉⲉ", "h": "Ⲏⲏ", "i": "Ⲓⲓ", "k": "Ⲕⲕ", "l": "Ⳑⳑ",
    "m": "Ⲙⲙ", "n": "Ⲛⲛ", "o": "Ⲟⲟ", "p": "Ⲣⲣ", "t": "Ⲧⲧ", "x": "Ⲭⲭ", "y": "Ⲩⲩ", "z": "Ⲍⲍ",
}  # fmt: skip

_LISU = {
    "a": "ꓮ", "b": "ꓐ", "c": "ꓚ", "d": "ꓓꓒ", "e": "ꓰ", "f": "ꓝ", "g": "ꓖ", "h": "ꓧ", "i": "ꓲ",
    "j": "ꓙ", "k": "ꓗ", "l": "ꓡ", "m": "ꓟ", "n": "ꓠ", "o": "ꓳ", "p": "ꓑ", "r": "ꓣ", "s": "ꓢ",
    "t": "ꓔ", "u": "ꓴ", "v": "ꓦ", "w": "ꓪ", "x": "ꓫ", "y": "ꓬ", "z": "ꓜ",
}  # fmt: skip

_CANADIAN = {
    "a": "ᗩ", "b": "ᗷᑲ", "c": "ᑕ", "d": "ᗪᗞᑯ", "e": "ᗴ", "f": "ᖴ", "h": "ᕼ", "j": "ᒍ",
    "l": "ᒪ", "m": "ᗰ", "n": "ᑎ", "p": "ᑭ", "q": "ᑫ", "r": "ᖇ", "s": "ᔕ", "u": "ᑌ", "v": "ᐯ",
    "w": "ᗯ", "x": "᙭", "z": "ᘔ",
}  # fmt: skip

_LATIN = {
    "a": "ᴀɑⱥȺ", "ae": "æÆᴁ", "b": "ʙɓƁƀɃƅƄƃƂᵬᶀ", "c": "ᴄȼȻƈƇ", "d": "ᴅðÐđĐɖƉɗƊᵭᶁƌƋ",
    "e": "ᴇɛƐəƏǝƎɇɆᶒ", "f": "ꜰƒƑᵮᶂ", "g": "ɢɡɠƓǥǤᶃ", "h": "ʜħĦɦⱨⱧ", "i": "ıɪɩƖɨƗᵻᶖ",
    "j": "ᴊȷɉɈʝɟ", "k": "ᴋƙƘⱪⱩᶄĸ", "l": "ʟłŁƚȽɫɬɭⱡⱠᶅ", "m": "ᴍɱⱮᵯᶆ", "n": "ɴŋŊɲƝɳƞȠᵰᶇ",
    "o": "ᴏøØɵƟⱺᴑ", "oe": "œŒɶ", "p": "ᴘþÞƥƤᵽⱣᵱᶈ", "q": "ʠɋɊ", "r": "ʀɍɌɼɽⱤɾᵲᵳᶉ", "s": "ꜱʂȿᵴᶊƽƼ",
    "t": "ᴛŧŦƭƬʈƮƫȾⱦᵵ", "u": "ᴜʉɄᶙ",
    "v": "ᴠʋƲⱱᶌ", "w": "ᴡⱳⱲ", "x": "ᶍ", "y": "ʏƴƳɏɎ", "z": "ᴢƶƵȥȤʐʑɀⱬⱫᵶᶎ",
}  # fmt: skip

_SYMBOLS = {"c": "¢", "d": "∂", "e": "℮", "x": "×", "i": "¡ǃ", "l": "ǀ∣⎸", "v": "∨", "u": "∪"}

_CHEROKEE_LOWER = {
    target: "".join(
        chr(ord(letter) - 0x13A0 + 0xAB70) if letter < "Ᏸ" else chr(ord(letter) + 8)
        for letter in letters
    )
    for target, letters in _CHEROKEE.items()
}

# White on black circles and squares, and the letters of flags: they have no decomposition.
_RUNS = (0x1F150, 0x1F170, 0x1F1E6)
_ENCLOSED = {chr(97 + i): "".join(chr(start + i) for start in _RUNS) for i in range(26)}

CONFUSABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        letter: target
        for script in (
            _CYRILLIC,
            _GREEK,
            _ARMENIAN,
            _CHEROKEE,
            _CHEROKEE_LOWER,
            _COPTIC,
            _LISU,
            _CANADIAN,
            _LATIN,
            _SYMBOLS,
            _ENCLOSED,
        )
        for target, letters in script.items()
        for letter in letters
    }
)
"""Look-alike to the lower-case ASCII letters or digit that it is read as."""
