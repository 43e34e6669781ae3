"""What a prompt in free wording says, put to the things that it is about.

Phrases of the thesaurus allow values; what is said of one thing is intersected; where nothing
remains, the prompt contradicts itself.
"""

from __future__ import annotations

import re
from dataclasses import replace

from minisora.drafts import ALL, NAMES, Draft
from minisora.thesaurus import PARTNER, Tag, tagged, thesaurus

MOST = 3  # objects of a scene
OF_ITSELF = {"yellow", "green", "white", "large", "small"}  # sand, grass, snow: nothing is lost


class Reader:
    """Walks over a prompt by the rules of thesaurus.tsv and notes what is said of which thing."""

    def __init__(self, prompt: str):
        self.things, self.place, self.shape = [], Draft(), ALL["shape"]  # that "one" stands for
        self.lost: dict[str, Draft | str] = {}  # words: what is there instead
        self.strangers: list[Draft] = []  # what is there instead of what this world has not
        self.clashes: dict[str, None] = {}  # sentences, each once
        self.subject = self.head = []  # what the next verb is about, and the clause's own
        self.whole = True  # whether the subject is spoken of as one: "two boxes", "both"
        self.group: list[Draft] = []  # of "two boxes", those that nothing was said of alone
        self.seeker = self.passive = None  # who circles what is still to come; "circled by"
        self.ahead: list[Tag] = []  # of "up and down hops a ball": what is said before the ball
        self.negated, tags = False, tagged(prompt)
        letters = "".join(tag.kind for tag in tags)
        for part in re.finditer(f"{thesaurus()[1]}|.", letters):
            self.before, self.then = letters[: part.start()][-2:], (*tags, tags[-1])[part.end()]
            if part.lastgroup:
                getattr(self, part.lastgroup)(tags[part.start() : part.end()])
        self.leave_out()

    def say(self, drafts: list[Draft], tag: Tag, values=None) -> None:
        """Say something of drafts, and note where it contradicts what was said before."""
        filmed = drafts == [self.place] and tag.kind != "g"
        values = values or (tag.camera if filmed else tag.values)
        name = "camera" if filmed else NAMES[min(values)]
        if self.negated:  # the other values; what "does not bounce" is at rest
            tag, self.negated = replace(tag, words=f"not {tag.words}"), False
            others, rest = ALL[name] - values, ALL[name] & {"still"}
            values = others & rest or others or rest or values
        for draft in drafts if values < ALL[name] else ():
            left, said = draft.left.get(name, ALL[name]) & values, draft.said.setdefault(name, [])
            weak = not tag.near and all(old.near for old in said)  # "a winter desert"
            if not left and (weak or all(old.yields for old in said)):  # "no bouncing, it slides"
                self.lost |= {old.words: "" for old in reversed(said) if weak}
                said.clear()
                left = values
            if left:
                draft.left[name] = left
                said.append(tag)
            else:
                told = f"{said[-1].words!r} and {tag.words!r} exclude each other"
                self.clashes[f"{told}: {said[-1].words!r} is kept"] = None

    def about(self, whole: bool = True) -> list[Draft]:
        """Return the objects that something is said of: the subject, the last one, or a new one."""
        drafts = [draft for draft in self.subject if draft is not self.place] or self.things[-1:]
        self.things += [] if drafts else [Draft(loose=True)]
        return (drafts if whole else drafts[-1:]) or self.things

    # ---- nouns ----

    def noun(self, tags: list[Tag], values=None) -> list[Draft]:
        """Find or make the things that a noun names, with its adjectives: the new subject."""
        *more, noun = tags
        if not more and (noun.words == "can" or self.negated):  # the verb; "no cubes"
            self.lost |= {f"no {noun.words}": ""} if self.negated else {}
            self.negated = False
            return []
        values = values or noun.values or self.shape
        self.shape = noun.values or self.shape
        adjectives = [tag for tag in more if tag.values and tag.kind not in "nk"]
        colors = [tag for tag in more if tag.kind == "c"]
        wanted = {NAMES[min(tag.values)]: tag.values for tag in adjectives} | {"shape": values}
        counts = [int(min(tag.values)) for tag in more if tag.kind == "n"]
        counts += [max(2, len(colors)) if noun.plural else 1]
        kinds = {"t" if tag.kind == "k" else tag.kind for tag in more}
        nth = [int(min(tag.values)) for tag in more if tag.kind == "k"]
        drafts = self.known(noun, kinds, wanted, *nth[:1]) or self.new(counts[0], wanted)
        for tag in adjectives:
            one = tag.kind == "c" and len(colors) == len(drafts)
            self.say([drafts[colors.index(tag)]] if one else drafts, tag)
        self.say(drafts, noun, values)
        for tag in self.ahead:
            self.say(drafts, tag)
        self.ahead = []
        self.lost |= {tag.words: "" for tag in more if tag.kind in "uh"}
        joined = re.search("[Souc]&$", self.before)
        if self.passive and self.passive[0].kind == "w" and not self.passive[1]:
            self.passive = self.passive[0], drafts[0]
        elif self.passive:
            (verb, drafts[0].partner), self.passive = self.passive, None
            self.say(drafts, verb)
        elif self.seeker and self.seeker not in drafts:
            self.seeker.partner, drafts[0].owed = self.seeker.partner or drafts[0], "t" in kinds
        elif self.before[-1:] not in {"@", "r"}:
            self.head = drafts
        if joined and noun.kind == "S":  # "a red and a blue ball"
            others = (d for d in self.subject if d not in [self.place, *self.strangers])
            self.say([draft for draft in others if "shape" not in draft.said], noun)
        self.subject = self.subject + drafts if joined else drafts
        self.group = [*drafts] if len(drafts) > 1 else self.group
        self.whole, self.seeker = len(drafts) > 1 or not joined, None
        return drafts

    def known(self, noun: Tag, kinds: set[str], wanted: dict, nth: int = 0) -> list[Draft]:
        """Return the things that a noun comes back to: "the ball", "one" of two."""
        same = [draft for draft in self.things if draft.is_a(wanted)]
        if nth and noun.kind == "S":  # "the second ball"
            same = self.things if noun.vague else same
            return same[:nth][-1:] if len(same) >= min(nth, 2) else []
        bare = self.group and (noun.kind != "S" or "shape" not in self.group[0].said)
        if bare and not (same and "t" in kinds):  # "two boxes, one"; "three things: a box"
            return [self.group.pop(0)]
        for draft in self.things:
            if draft.owed and draft.may(wanted):
                draft.owed = False
                return [draft]
        spoken = ([d for d in self.subject if d is not self.place] or self.things)[-1:]
        if spoken and not kinds & {*"no"} and self.repeats(spoken[0], noun, wanted):
            return spoken
        another = noun.kind == "o" and noun.words not in ("one", "ones")
        back = "t" in kinds or noun.words == "one"  # "white one bounces"
        if another or kinds & {*"ano"} or len(wanted) > 1 and not back:
            return []
        return same if noun.plural else same[-1:]

    def repeats(self, last: Draft, noun: Tag, wanted: dict) -> bool:
        """Return whether a noun says more of the last thing: "a cone, a red one", "a red cone"."""
        more, names = {*wanted} - {"shape"}, last.said.get("shape", ())
        named = any(tag.kind == "S" for tag in names) or last in self.strangers
        follows = self.before[-1:] in {"_", "_" if last.said else ","} and not named
        if (follows or self.before == "i_") and last.may(wanted):
            return True  # "the object is a cone", "object: cone", "it is a cone"
        bare = noun.kind == "S" and {*last.said} == {"shape"} and last.is_a({"shape": noun.values})
        fits = not more & {*last.said} and last.may(wanted) and not noun.plural
        said = re.search("[,.]y?$", self.before) if more else self.before in (".", ".y")
        return bool(fits and said and (noun.words == "one" or bare))

    def new(self, count: int, wanted: dict) -> list[Draft]:
        """Return new things, the first of them one that was spoken of before its noun came."""
        loose = [draft for draft in self.things[-1:] if draft.loose and draft.may(wanted)]
        for draft in loose:
            draft.loose = False
        made = [Draft() for _ in range(count - len(loose))]
        if len(made) > MOST - len(self.things):
            self.leave_out()
        if len(made) > (room := MOST - len(self.things)):
            self.clashes[f"a scene has {MOST} objects at most: more are left out"] = None
        self.things += made[:room]
        return loose + made

    def no_noun(self, tags: list[Tag]) -> None:
        """Make a thing of which only colour or size was said, if it is not said of another."""
        told = re.search("_y?$", self.before) and tags[0].kind == "a" and self.then.kind != "&"
        if self.things and told:  # "it was a lovely yellow"
            return self.deal(tags)
        self.noun([*tags, Tag("")], ALL["shape"])

    def stranger(self, tags: list[Tag]) -> None:
        """Make a thing that stands for what this world has not."""
        known, made = [*self.things], self.noun(tags, ALL["shape"])
        self.lost[tags[-1].words] = made[0]
        self.strangers += [draft for draft in made if draft not in known]

    def leave_out(self) -> None:
        """Forget strangers of which little is said, if the prompt is about something: an aside."""
        met = [d.partner for d in self.things] + [d for d in self.things if d.partner]
        idle = [d for d in self.strangers if {*d.said} <= {"size"} and d not in met]
        if idle and len(idle) < len(self.things):
            self.things = [draft for draft in self.things if draft not in idle]
            self.lost |= {words: "" for words, made in self.lost.items() if made in idle}

    def gone(self, tags: list[Tag]) -> None:
        """Note what this world has not."""
        self.lost[" ".join(tag.words for tag in tags if tag.kind not in "atny")] = ""

    def other_than(self, tags: list[Tag]) -> None:
        """Pass over what is not wanted, but know what "one" means."""
        self.shape = tags[-1].values if tags[-1].kind == "S" else self.shape

    # ---- what is said of them ----

    def scene(self, tags: list[Tag]) -> None:
        """Note ground and sky, and what colours and sizes they cannot have."""
        for tag in tags:
            if tag.kind == "g":
                self.say([self.place], tag)
            elif tag.kind in "czh" and not tag.values & OF_ITSELF:
                self.lost[tag.words] = ""

    def film(self, tags: list[Tag]) -> None:
        """Note what the camera does; what follows is about it."""
        if tags[0].kind == "v" and not tags[0].camera:
            self.verb([tags[0]])  # "hop, the camera": no verb of the camera's
        self.subject = self.head = [self.place]
        for tag in (tag for tag in [*self.ahead, *tags] if tag.camera):
            self.say(self.subject, tag)
        self.ahead = []

    def deal(self, tags: list[Tag]) -> None:
        """Say adjectives of the subject, or deal them out to a group."""
        said = [tag for tag in tags if tag.values]
        meant = [d for d in self.things if d.is_a({NAMES[min(said[0].values)]: said[0].values})]
        meant, article = meant[:1] if len(said) == 1 else [], self.before[-1:] == "t"
        if meant and self.seeker and meant != [self.seeker]:  # "circles the white"
            self.seeker.partner, self.seeker = self.seeker.partner or meant[0], None
            return
        if meant and (article or self.then.kind == "v"):  # "cyan bounces"
            self.subject, self.whole = meant, False
            return
        if article and self.group and len(said) == 1:  # "two balls, the red"
            self.subject = [self.group.pop(0)]
        bare = [d for d in self.things if NAMES[min(said[0].values)] not in d.said]
        group = self.group or (bare if len(bare) == len(said) else [])
        each = [[draft] for draft in group] if len(said) > 1 else []
        for k, tag in enumerate(said):
            self.say(each[k] if k < len(each) else self.about(self.whole), tag)

    def nth(self, tags: list[Tag]) -> None:
        """Speak of the first, second or third thing."""
        thing = self.things[: int(min(tags[0].values))][-1:] or self.about()[-1:]
        if self.passive and not self.passive[1]:
            self.passive = self.passive[0], thing[0]
        elif self.seeker:
            self.seeker.partner, self.seeker = self.seeker.partner or thing[0], None
        else:
            self.subject, self.whole = thing, False
            self.group = [draft for draft in self.group if draft not in thing]

    def verb(self, tags: list[Tag]) -> None:
        """Say what the subject does, or the camera."""
        (tag,), filmed = tags, self.subject == [self.place]
        begins = self.before[-1:] in ",." or self.before[-1:] == "&" and tag.kind == "w"
        related, noun = tag.values and tag.values <= PARTNER, self.then.kind in "atnokSczi"
        near = tag.values <= {*PARTNER, "spins"} if tag.kind == "w" else "round" in tag.words
        around = noun and tag.values & PARTNER and near
        alone = not self.things and (not tag.values or related or filmed)
        order = begins and tag.kind == "v" and not tag.values  # "…, rise up"
        early = self.ahead and noun or begins and tag.kind == "w" and self.then.kind == "v"
        inverted = not filmed and related and self.then.words == "it" and len(self.things) == 1
        bites = noun and tag.kind == "v" and tag.values == {"bitten"}
        if early and tag.values:
            self.ahead.append(tag)
        elif related and self.then.words == "by":
            self.passive = tag, self.about()[-1]
        elif bites or begins and around and tag.kind != "v" or inverted:
            self.passive = tag, None  # "a bite out of the cube"; "around the cube rolls a ball"
            self.strangers = [d for d in self.strangers if d not in self.subject]  # who bites stays
        elif tag.camera and (alone or order or filmed and self.place.may({"camera": tag.camera})):
            self.subject = [self.place]
            self.say(self.subject, tag)
        elif not tag.values or filmed and tag.kind != "w" and self.before[-1:] in {*"fyu"}:
            self.lost[tag.words] = ""
        elif not self.passive:
            drafts = self.about(self.whole or not (related or tag.words.split()[0][-1] == "s"))
            self.say(drafts, tag)
            self.seeker = drafts[-1] if related or around else None

    def word(self, tags: list[Tag]) -> None:
        """Read what holds a sentence together."""
        kind, words = tags[0].kind, tags[0].words
        but = [self.seeker] if self.seeker else self.subject[-1:]
        others = [draft for draft in self.things if draft not in but][-1:]
        rests = self.negated and kind in ",." and self.before == "_x" and self.things
        self.negated = kind not in ",." and (self.negated or kind == "x" or words == "neither")
        if rests:  # "the block does not."
            self.say(self.about(self.whole), Tag("p", "not", frozenset({"still"})))
        if kind == "i" and self.passive and not self.passive[1]:  # "behind it goes a ball"
            self.passive = self.passive[0], (self.things or [None])[-1]
        elif kind in "iq" and self.seeker:
            self.seeker.partner = self.seeker.partner or (others or [None])[0]
        elif kind == "q":
            more = [self.group.pop(0)] if self.group else others
            self.head = self.subject = more or self.noun([Tag("o", "another")])
        elif kind == "i" and words != "itself" and self.before[-1:] not in {*"vwpf@r"}:
            self.subject = self.things[-1:]
        elif kind == "l" and self.things and not self.seeker:
            known = [draft for draft in self.things if draft not in self.strangers]
            self.subject, self.whole = known or [*self.things], True
        elif kind == "&" and self.then.kind in "vf":
            self.subject = self.head or self.subject
        elif kind == "." and self.subject == [self.place]:
            self.subject = []
        self.seeker = None if kind in "iq&,." else self.seeker
