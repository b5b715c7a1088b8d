"""Categories: short lowercase noun phrases from emoji labels and from clip-art file names."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLOUR_WORDS = _words("red orange yellow green blue purple pink brown black white grey gray golden")
KEPT_COLOURS = frozenset(("black bird", "polar bear", "green salad", "orange"))
MODIFIERS = COLOUR_WORDS | _words(
    """
    closed open opened front-facing hatching tilted wrapped left right left-facing right-facing oncoming
    upside-down large small medium big simple old new another a an the one two three four five half low high
    locked incoming linked rolled-up spouting light dark stylized simple cartoon modern classic generic plain
    funny color colour coloured colored full empty sliced various leftwards rightwards medium-small vertical
    horizontal flat heavy alt bw soft straight fat crazy angry happy sleeping smiling mad cute young little lit
    glossy fancy square round drawn
    """
)
CUTS = re.compile(r"\s+(?:with|in|behind|on|over|without|under|at|savoring|blowing|holding|from|by|of|for|wearing)\s.*")
GENDERED = re.compile(r"^(?:man|woman|men|women|person|people)\s+(?!and\b)(.+)$")
ACTIVITY = re.compile(r"^(man|woman|men|women|person|people|baby)\s+(?:mountain\s+)?(?:[a-z-]+ing)\b.*$")
FACES = _words("dog cat monkey tiger horse cow pig mouse rabbit dragon sun moon")
ODD_HEADS = _words("globe triangle face glass speaker page")
ODD_TAILS = _words("heart hearts cat monkey moon mailbox face banknote medal")
ODDITIES = {
    "pile of poo": "poo",
    "ear of corn": "corn",
    "pot of food": "pot",
    "roll of paper": "paper roll",
    "drop of blood": "blood drop",
    "cup with straw": "cup",
    "statue of liberty": "statue",
    "map of japan": "map",
    "moai": "stone statue",
    "t-rex": "dinosaur",
    "sauropod": "dinosaur",
    "pool 8 ball": "pool ball",
    "hole": "hole",
    "sport utility vehicle": "car",
    "oncoming automobile": "car",
    "automobile": "car",
    "jack-o-lantern": "pumpkin",
    "wrapped gift": "gift box",
    "bust in silhouette": "silhouette",
    "busts in silhouette": "silhouette",
    "flag in hole": "golf flag",
    "couch and lamp": "couch",
    "fish cake with swirl": "fish cake",
    "leaf fluttering in wind": "leaf",
    "face in clouds": "cloudy face",
    "sun behind cloud": "cloud",
    "ringed planet": "planet",
    "level slider": "slider",
    "locked": "padlock",
    "unlocked": "padlock",
    "magnifying glass tilted left": "magnifying glass",
    "magnifying glass tilted right": "magnifying glass",
    "palms up together": "hands",
    "japanese post office": "building",
    "moon viewing ceremony": "rice cakes",
    "four leaf clover": "clover",
    "airplane arrival": "airplane",
    "airplane departure": "airplane",
    "small airplane": "airplane",
    "cricket game": "cricket bat",
    "face vomiting": "face",
    "man's shoe": "shoe",
    "optical disk": "cd",
    "bookmark tabs": "bookmark",
    "headphone": "headphones",
    "hot springs": "hot spring",
}


def emoji_category(label: str) -> str:
    """The noun phrase, at most three words, for an emoji's English label: "red apple" gives "apple"."""
    text = label.lower().replace("’", "'").strip()
    if text in ODDITIES:
        return ODDITIES[text]
    text = CUTS.sub("", text.split(":")[0]).strip()
    if activity := ACTIVITY.match(text):
        return {"men": "man", "women": "woman", "people": "person"}.get(activity[1], activity[1])
    if gendered := GENDERED.match(text):
        text = gendered[1]
    words = text.split() if text in KEPT_COLOURS else without_modifiers(text.split())
    return ODDITIES.get(text) or _noun(words)


def _noun(words: list[str]) -> str:
    """The word of a label that says what the picture shows, or its last three words."""
    if len(words) == 2 and words[1] == "face" and words[0] in FACES:
        return words[0]
    if len(words) > 1 and words[0] in ODD_HEADS:
        return words[0]
    if words[-1] in ODD_TAILS:
        return words[-1]
    return " ".join(words[-3:])


def without_modifiers(words: list[str]) -> list[str]:
    """`words` without leading colours, sizes and counts; the last word always stays."""
    while len(words) > 1 and words[0] in MODIFIERS:
        words = words[1:]
    return words


CLIPART_NOUNS = _words(
    """
    cone hummer dino lightbulb muffin cello xylophone oboe boombox drums headphones binoculars dartboard
    lighthouse lasagna lemonade daffodil magnolia workstation seagull caterpillar armadillo scorpion lizard
    microscope jupiter venus mars cardboard transistor cassette resistor thumbtack paperback diary candle igloo
    stamp postage wreath submarine marshmallow bananas salami acorn fern tulip tulips geranium flowers daisy
    eraser desk lens envelope modem gameboy printer monitor tank aircraft airplane skateboard scalpel drill trowel
    anvil gallows vacuum cleaner longsword sword katana hourglass tornado damselfly dragonfly grasshopper ladybug
    fawn echidna beagle bulldog cormorant hen gull puffin seahorse bluewhale backpacker ballerina dancer fireman
    clown mitten earring propeller sombrero chav certificate parchment paperbag surfboard beachball teddybear
    wagon flask flourish menu pantyhose record gramophone jukebox trefoil rocket helicopter tractor trawler
    scooter ambulance bus truck car bike bicycle ship boat sailboat canoe kayak glider parachute robot lamp hat
    cap helmet boot shoe sandals glove shorts shirt jacket tie mug cup bottle glass can teapot plate bowl fork
    knife spoon pan pot kettle cake cookie toast burger egg cheese sausage onion rings garlic pepper potato carrot
    pumpkin cherry grapes pear peach melon strawberry mushroom toadstool leaf tree palmtree bamboo cactus rose
    sunflower pine shamrock monkey pig deer bison bull bunny camel antelope kangaroo rat dolphin squirrel baboon
    beaver chipmunk elephant fox giraffe hamster orangutan zebra sheep goat ram horse donkey cow cat dog puppy
    wolf lion tiger bear panda penguin parrot eagle owl duck goose swan turkey pigeon crow robin bird fish shark
    whale orca seal crab lobster crawfish octopus snail spider ant bee butterfly fly mosquito beetle worm frog
    turtle snake dinosaur dragon unicorn house castle tower church factory school barn tent bridge chair table
    couch bed bench door window clock watch calendar calculator book notebook pencil pen brush crayon scissors
    ruler folder clipboard paperclip stapler pin key lock hammer axe saw screwdriver wrench pliers shovel rake
    bucket broom ladder rope chain gear magnet battery bulb camera camcorder television radio telephone phone
    keyboard mouse laptop computer disk cd guitar violin trumpet trombone flute harp piano horn drum maracas
    microphone bell note ball baseball football basketball volleyball racket bat puck skier skate dice chess pawn
    knight bishop rook queen king crown trophy medal balloon gift candy snowman santa angel star moon sun cloud
    rainbow umbrella snowflake planet earth globe telescope satellite heart skull eye ear nose mouth hand foot
    tooth brain bone baby boy girl man woman king nurse doctor chef cowboy pirate ninja witch wizard alien ghost
    monster vampire zombie box basket bag suitcase barrel crate jar vase syringe pill microchip gun pistol rifle
    bomb knife shield bow arrow flag anchor wheel tire engine pump hydrant mailbox newspaper sofa fan iron oven
    fridge toaster blender bath tub mirror comb razor soap towel toothbrush perfume lipstick ring necklace glasses
    purse wallet coin money puzzle jigsaw kite toy doll yo-yo sled skis tower oranges apple lemon banana pineapple
    plum raspberry blueberry coconut kiwi mango pizza sandwich taco hotdog fries popcorn donut pie bread pretzel
    bacon steak chicken shrimp sushi soup salad beer wine coffee tea juice milk soda ice cream cube sundae pancake
    waffle pudding chocolate honey jam butter spaghetti noodle rice bean corn pea tomato lettuce cabbage cucumber
    eggplant spinach burrito sugarbox lantern torch compass map tank cannon handphone keyring
    """
)
TRANSLATED = {
    "acquila": "eagle", "aquila": "eagle", "albero": "tree", "ambulans": "ambulance", "ambulanza": "ambulance",
    "anatra": "duck", "ape": "bee", "arbre": "tree", "autos": "car", "baloon": "balloon", "bicicletta": "bicycle",
    "binocolo": "binoculars", "borsa": "bag", "borsetta": "purse", "bottiglia": "bottle", "bussola": "compass",
    "calamita": "magnet", "calcolatrice": "calculator", "cammello": "camel", "candela": "candle", "canguro": "kangaroo",
    "casa": "house", "casco": "helmet", "cavalletta": "grasshopper", "cavallo": "horse", "cesto": "basket",
    "cestino": "basket", "champignon": "mushroom", "chiave": "key", "cigno": "swan", "clessidra": "hourglass",
    "coccinella": "ladybug", "coccinelle": "ladybug", "coniglio": "rabbit", "couronne": "crown", "donna": "woman",
    "dinosauro": "dinosaur", "elefante": "elephant", "farfalla": "butterfly", "fiore": "flower", "foglie": "leaves",
    "gabbiano": "seagull", "gallo": "rooster", "gateau": "cake", "gatto": "cat", "gattina": "cat", "gufo": "owl",
    "gelato": "ice cream", "glace": "ice cream", "insetto": "bug", "lampada": "lamp", "lattine": "can",
    "lente": "magnifying glass", "libellula": "dragonfly", "libellule": "dragonfly", "libro": "book",
    "lucchetto": "padlock", "lucertola": "lizard", "lucertolona": "lizard", "lucertolone": "lizard", "lumaca": "snail",
    "macchina": "car", "mante": "mantis", "mantide": "mantis", "mondo": "globe", "mucca": "cow", "orologio": "clock",
    "orso": "bear", "ours": "bear", "pallone": "ball", "palloncini": "balloon", "papera": "duck", "pecora": "sheep",
    "pecorella": "sheep", "pennello": "brush", "peperoncino": "chili pepper", "pera": "pear", "pesca": "peach",
    "pescetto": "fish", "pinguino": "penguin", "pollo": "chicken", "poltrona": "armchair", "pomodori": "tomato",
    "ragazza": "girl", "ragazzo": "boy", "ragno": "spider", "ragnetto": "spider", "ramarro": "lizard", "rana": "frog",
    "rosa": "rose", "ruota": "wheel", "scala": "ladder", "secchio": "bucket", "sedia": "chair", "siringa": "syringe",
    "sole": "sun", "stampante": "printer", "struzzo": "ostrich", "tacchino": "turkey", "tavolo": "table",
    "tazza": "cup", "teiera": "teapot", "telecamera": "camera", "telefono": "telephone", "televisore": "television",
    "tenda": "tent", "tigre": "tiger", "topo": "mouse", "toro": "bull", "torta": "cake", "trattore": "tractor",
    "uccello": "bird", "uovo": "egg", "vacca": "cow", "zaino": "backpack", "zanzara": "mosquito", "zucca": "pumpkin",
    "palmtree": "palm tree", "lightbulb": "light bulb", "bulb": "light bulb", "dino": "dinosaur",
    "jigsaw": "puzzle piece", "headphone": "headphones", "mag": "magnifying glass", "magglass": "magnifying glass",
    "teddybear": "teddy bear", "bluewhale": "whale", "cinepresa": "camera",
    "cellular": "phone", "handphone": "phone", "sportcar": "car", "redcar": "car", "chevrolet": "car", "hummer": "car",
}  # fmt: skip
FOLDER_NOUNS = {
    "bugs": "bug", "dinosaurs": "dinosaur", "mammals": "animal", "bears": "bear", "horses": "horse",
    "big_cats": "big cat",
    "housecats": "cat", "dogs": "dog", "birds": "bird", "penguin": "penguin", "fish": "fish", "animals": "animal",
    "fruit": "fruit", "beverages": "drink", "alcohol": "drink", "vegetables": "vegetable", "breads_and_carbs": "bread",
    "desserts": "dessert", "meats_and_eggs": "food", "food": "food", "plants": "plant", "trees": "tree",
    "evergreen": "tree", "flowers": "flower", "tools": "tool", "weapons": "weapon", "vehicles": "vehicle",
    "hummers": "car", "boating": "boat", "transportation": "vehicle", "music": "instrument", "party": "decoration",
    "christmas": "decoration", "sports": "sport gear", "toys": "toy", "chess": "chess piece", "homes": "house",
    "buildings": "building", "furniture": "furniture", "containers": "container", "electronics": "device",
    "battery": "battery", "bulb": "light bulb", "telephone": "telephone", "hats": "hat", "jewelry": "jewelry",
    "clothing": "clothes", "smilies": "face", "people": "person", "clocks": "clock", "weather": "weather symbol",
    "hardware": "computer part", "books": "book", "astronomy": "planet", "jigsaw": "puzzle piece", "arrows": "arrow",
    "shapes": "shape", "stars": "star",
}  # fmt: skip
ARTISTS = _words(
    """
    park benji mo ganson nicu buculei jarno jean victor linda kim gerald dan aj krug lumen drawn strai sketch da
    de fr france di ge ar bo ba ro ch pa yen yu marino mark river steele jordan christian martin david summer
    gates brown michael francesco daniel young jo jack lane ali jasper matt tom john with in and of on by for
    under from phillips petri wedding sketch woman's crystal
    """
)


def clipart_category(stem: str, folder: str, vocabulary: frozenset[str]) -> str | None:
    """The noun phrase in a clip-art's file name, else its folder's noun, else None.

    The first run of words of `vocabulary` counts: what follows in these names is mostly the artist.
    """
    run: list[str] = []
    for word in re.split(r"[^a-z]+", stem.lower()):
        if len(word) < 2 or word in MODIFIERS:
            continue
        known = TRANSLATED.get(word, word if word in vocabulary else None)
        if known is None or word in ARTISTS:
            if run or word in ARTISTS:
                break
            continue
        run.append(known)
        if known != word:
            break
    return " ".join(" ".join(run[:2]).split()[:3]) if run else FOLDER_NOUNS.get(folder)
