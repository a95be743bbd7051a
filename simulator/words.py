"""The text of the made books: sentences of our own, put together from word lists in four languages."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_GAP = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, eq=False)
class Language:
    """Word lists by the names that the sentence patterns use, and how catalogues write the language."""

    code: str
    marc: str
    patterns: tuple[str, ...]
    words: dict[str, list[str]]

    def sentence(self, rng: random.Random) -> str:
        """One sentence, the same for the same state of `rng`."""
        pattern = rng.choice(self.patterns)
        filled = _GAP.sub(lambda gap: rng.choice(self.words[gap[1]]), pattern)
        return filled[0].upper() + filled[1:]

    def paragraph(self, rng: random.Random, sentences: int) -> str:
        """Some sentences with a space between them."""
        return " ".join(self.sentence(rng) for _ in range(sentences))


def _lists(**words: str) -> dict[str, list[str]]:
    return {name: listed.split() for name, listed in words.items()}


ENGLISH = Language(
    "en",
    "eng",
    (
        "the {adjective} {noun} {verb} the {noun} {adverb}.",
        "{adverb}, the {noun} of the {noun} {verb} a {adjective} {noun}.",
        "no {noun} that {verb} the {adjective} {noun} was ever {adjective} again.",
        "in the {season} the {noun} {verb} what the {adjective} {noun} had left behind.",
        "we are told that a {noun}, however {adjective}, {verb} its {noun} before {season}.",
        "who keeps the {noun} keeps the {noun}; so said the {adjective} {noun}.",
        "where the {noun} ends, a {adjective} {noun} begins, and the {noun} {verb} it {adverb}.",
    ),
    _lists(
        noun=(
            "river harbour orchard lantern ledger granary bridge meadow ferryman printer bell mountain causeway "
            "library shepherd window almanac garden voyage letter mill valley chapel kettle storm island clerk "
            "archive wharf compass furnace thicket weaver quarry timber parish anchor chronicle cellar signal"
        ),
        adjective=(
            "quiet narrow forgotten patient silver northern crooked generous weathered early distant honest hollow "
            "bright stubborn slender ancient humble uneven faithful"
        ),
        verb="carried crossed measured guarded remembered followed answered repaired described found",
        adverb="slowly gladly twice seldom nightly patiently again finally silently",
        season="spring summer autumn winter",
    ),
)

FRENCH = Language(
    "fr",
    "fre",
    (
        "le {noun} {adjective} {verb} le {noun} du {place}.",
        "{adverb}, un {noun} {verb} le {noun} {adjective} du {place}.",
        "après l'hiver, le {noun} {verb} {adverb} son {noun}.",
        "on raconte au {place} que le {noun} {adjective} {verb} un {noun}.",
    ),
    _lists(
        noun="moulin jardin fleuve batelier clocher sentier livre berger verger manuscrit château grenier",
        adjective="ancien étroit généreux fidèle oublié tranquille sévère lointain léger",
        verb="traversa garda mesura répara décrivit retrouva suivit protégea",
        adverb="lentement parfois volontiers enfin bientôt rarement",
        place="village pays canton quartier faubourg hameau",
    ),
)

GERMAN = Language(
    "de",
    "ger",
    (
        "der {adjective} {noun} {verb} den {object} {adverb}.",
        "{adverb} {verb} der {noun} am {place} den {object}.",
        "am {place} {verb} ein {noun} seinen {object}, und der {adjective} {noun} schwieg.",
        "man erzählt, der {noun} {verb} {adverb} über den {object}.",
    ),
    _lists(
        noun="Müller Schäfer Gärtner Fährmann Drucker Wächter Förster Köhler Bürger",
        object="Fluß Garten Kalender Brief Hügel Schlüssel Weg Turm Kahn",
        adjective="stille gütige frühe müde große treue späte",
        verb="prüfte hütete suchte grüßte fand zählte führte",
        adverb="langsam gern zweimal endlich mühsam täglich",
        place="Ufer Markt Tor Brunnen Bergsee Waldrand",
    ),
)

LATIN = Language(
    "la",
    "lat",
    (
        "{noun} {adverb} {verb}, sed {noun} {adverb} {verb}.",
        "ubi {noun} {verb}, ibi {noun} {adverb} {verb}.",
        "{adverb} {noun} {verb} neque {noun} {verb}.",
    ),
    _lists(
        noun="agricola nauta poeta magister pontifex viator custos scriptor faber pastor",
        verb="laborat navigat scribit docet ambulat vigilat tacet cantat quaerit",
        adverb="semper saepe numquam tandem hodie diligenter celeriter iterum",
    ),
)
