"""What the people of the styles world talk about: topics with their plain words and their images, and ways to ask.

In: nothing. Out: `TRAIN_TOPICS`, `HELD_OUT_TOPICS` (name -> Topic), `TRAIN_TEMPLATES`, `HELD_OUT_TEMPLATES` (one `{t}` each).
A held-out prompt is about a topic that no training prompt names; six templates are held out too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """`plain`: six adjectives that hold of it. `images`: three (adjective, noun) pictures of it, all starting with a consonant."""

    name: str
    plain: tuple[str, ...]
    images: tuple[tuple[str, str], ...]


def _read(table: str) -> dict[str, Topic]:
    topics = {}
    for line in table.strip().splitlines():
        name, rest = line.split(":")
        plain, images = rest.split("|")
        pairs = tuple(tuple(image.split()) for image in images.split(","))
        topics[name] = Topic(name, tuple(plain.split()), pairs)  # type: ignore[arg-type]
    return topics


TRAIN_TOPICS = _read("""
sea: wide deep blue salty cold calm | silver mirror, sleeping giant, singing blanket
moon: round pale bright quiet far cold | silver lantern, patient watchman, floating pearl
sun: hot bright yellow round far strong | golden crown, blazing wheel, laughing king
river: long cool clear deep fast muddy | silver ribbon, dancing road, singing traveller
forest: dark green quiet cool old deep | whispering cathedral, green ocean, sleeping castle
mountain: high steep cold old grey rocky | frozen giant, stone crown, silent king
garden: green small sunny tidy fresh quiet | painted carpet, secret kingdom, perfumed palace
desert: dry hot wide sandy quiet empty | golden ocean, burning carpet, thirsty giant
lake: calm deep clear cold blue quiet | silver plate, dreaming eye, polished window
rain: wet cold grey soft fresh steady | silver curtain, dancing drummer, weeping sky
snow: white cold soft wet deep clean | velvet blanket, silent dancer, sugar carpet
wind: strong cold fast loud dry fresh | wandering singer, playful ghost, restless traveller
storm: loud dark wild wet strong fast | roaring giant, broken dream, furious king
cloud: grey white soft high slow wet | drifting pillow, woollen castle, wandering ghost
winter: cold dark long white grey quiet | frozen queen, crystal palace, silent guest
summer: hot long sunny bright dry green | golden festival, laughing child, burning painting
spring: fresh green mild wet sunny short | painted morning, green promise, singing door
night: dark long quiet cold black calm | velvet cloak, silent theatre, starry blanket
cat: soft small quick quiet clean proud | velvet hunter, purring pillow, sleepy queen
dog: loyal loud friendly brown quick strong | furry shadow, laughing guardian, faithful knight
horse: tall strong fast brown loyal proud | thundering knight, galloping dancer, noble prince
bird: small light quick loud shy free | feathered singer, flying flute, winged poet
fish: wet quick small quiet shy cold | silver arrow, swimming jewel, silent diver
bear: big brown strong slow heavy wild | furry giant, sleepy king, growling shadow
lion: strong big yellow proud loud wild | roaring king, golden emperor, royal hunter
elephant: big grey heavy slow strong old | walking castle, gentle giant, living tower
bee: small busy quick loud yellow useful | striped worker, flying jewel, humming flute
spider: small thin quiet quick dark busy | patient weaver, silent hunter, tiny artist
tree: tall old green strong brown steady | green tower, patient guardian, living umbrella
flower: small bright fresh pretty soft short | painted star, perfumed jewel, smiling face
apple: red round sweet fresh juicy cheap | crunchy jewel, red lantern, polished ruby
bread: fresh warm brown soft cheap plain | golden pillow, crunchy treasure, humble feast
soup: hot thick cheap salty plain warm | steaming hug, golden pool, bubbling song
coffee: hot black strong bitter brown dark | liquid lightning, midnight engine, velvet morning
honey: sweet thick yellow sticky slow rich | liquid sunshine, golden river, melted jewel
cheese: salty yellow soft rich old hard | golden treasure, creamy dream, noble brick
kitchen: warm small busy clean noisy bright | steaming theatre, bubbling workshop, spicy kingdom
house: old big warm dry quiet solid | patient shell, sheltering friend, brick hug
bridge: long old solid narrow grey high | stone rainbow, sleeping arm, frozen leap
city: big loud busy bright rich modern | glittering maze, humming machine, concrete forest
market: loud busy cheap noisy crowded old | painted circus, spicy theatre, buzzing hive
library: quiet old big clean dry calm | paper forest, sleeping treasure, whispering maze
train: long fast loud heavy modern busy | steel dragon, rolling thunder, galloping snake
ship: big heavy slow strong old steady | floating castle, wooden whale, restless traveller
bicycle: light cheap quick quiet thin useful | spinning friend, silver pony, whistling wheel
clock: round old steady loud useful precise | ticking heart, patient judge, brass poet
lamp: small bright warm useful cheap round | tame star, glowing pearl, gentle lighthouse
piano: big black heavy loud old rich | singing wardrobe, polished orchestra, wooden nightingale
guitar: light brown loud old cheap thin | singing box, wooden heart, humming friend
book: old heavy useful thick quiet cheap | paper ship, sleeping friend, secret door
letter: short thin honest white sad old | folded whisper, paper kiss, travelling heart
kite: light thin bright cheap free quick | flying ribbon, paper eagle, dancing sail
candle: thin warm small cheap pale soft | melting star, gentle flame, waxen dancer
ice: cold hard clear thin slippery white | frozen window, sleeping water, silent crystal
""")

HELD_OUT_TOPICS = _read("""
star: small bright far old hot pale | tiny diamond, burning jewel, silver candle
island: small green sunny far quiet rocky | floating jewel, lonely castle, green pearl
autumn: cool wet windy brown quiet short | burning painting, rusty carpet, golden goodbye
morning: cool fresh bright early quiet short | golden door, rosy promise, shining page
wolf: grey wild fast loud thin shy | howling shadow, silver hunter, moonlit ghost
rabbit: small soft quick shy brown quiet | jumping pillow, velvet ghost, furry arrow
butterfly: light small quiet bright shy free | flying flower, painted whisper, dancing petal
owl: quiet wise grey shy old round | feathered lantern, silent judge, moonlit poet
rose: red pretty fresh soft thorny small | velvet heart, perfumed queen, blushing poem
tea: hot brown light cheap mild warm | steaming poem, gentle hug, liquid garden
chocolate: sweet dark brown rich soft bitter | velvet dream, melted midnight, creamy treasure
road: long straight dusty grey busy narrow | grey ribbon, winding snake, patient river
village: small quiet old friendly green poor | sleepy painting, friendly nest, forgotten song
school: big busy loud old modern strict | buzzing hive, growing garden, noisy orchestra
museum: old quiet big cool dusty strict | dusty treasure, painted dream, silent palace
hospital: clean busy white big strict calm | healing harbour, white lighthouse, gentle fortress
car: fast heavy loud modern useful dirty | steel pony, growling box, shining beetle
plane: fast loud big modern heavy high | steel eagle, winged whale, silver needle
violin: small thin old brown precise light | weeping nightingale, wooden voice, singing swan
drum: loud round hard simple old strong | beating heart, thundering pot, hollow storm
song: short old simple loud sad sweet | flying ribbon, borrowed dream, golden thread
painting: old bright rich flat quiet pretty | frozen dream, coloured window, silent song
robot: hard modern strong precise cold useful | steel butler, polite machine, patient servant
fire: hot bright dangerous loud red warm | dancing dragon, hungry tongue, blazing flower
""")

TOPICS = {**TRAIN_TOPICS, **HELD_OUT_TOPICS}

TRAIN_TEMPLATES = (
    "Tell me about the {t}, please.",
    "Tell me about the {t}.",
    "Please tell me about the {t}.",
    "What is the {t} like?",
    "What can you say about the {t}?",
    "Describe the {t}.",
    "Describe the {t} for me, please.",
    "How would you describe the {t}?",
    "I want to hear about the {t}.",
    "I would like to know about the {t}.",
    "Say something about the {t}.",
    "Can you tell me something about the {t}?",
    "Could you describe the {t}?",
    "Write a few words about the {t}.",
    "Write something about the {t}, please.",
    "My daughter asks about the {t}. What can I tell her?",
    "We talk about the {t} in class. What is it like?",
    "Help me understand the {t}.",
    "Explain the {t} to me.",
    "Give me some words about the {t}.",
    "I never saw the {t}. What is it like?",
    "Today I think about the {t}. Say something about it.",
    "What should I know about the {t}?",
    "Do you know the {t}? Tell me about it.",
)

HELD_OUT_TEMPLATES = (
    "Let us talk about the {t}.",
    "Teach me about the {t}, please.",
    "What do people say about the {t}?",
    "Our topic is the {t}. Please begin.",
    "I wonder about the {t}. Can you help?",
    "Speak about the {t}, please.",
)
