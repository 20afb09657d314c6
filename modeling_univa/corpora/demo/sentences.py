# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the people of the demo corpus say: topics, sentence patterns by emotion, and how a sentence is put together.

Words carry the emotion, but not trivially: openers, tails and facts are shared by all emotions, some sentences fit
several of them (only the dialogue around tells which), and the clauses of a topic come back in more than one pattern.
"""

import re
from typing import NamedTuple

import numpy as np


class Topic(NamedTuple):
    """What a dialogue is about. `event` to `place` are phrases, the other fields hold clauses, `fact` sentences."""

    event: str
    person: str
    thing: str
    place: str
    good: tuple[str, ...]
    loss: tuple[str, ...]
    wrong: tuple[str, ...]
    odd: tuple[str, ...]
    gross: tuple[str, ...]
    danger: tuple[str, ...]
    fact: tuple[str, ...]


TOPICS = (
    Topic(
        "the new flat", "the landlord", "the old fridge", "in the kitchen",
        good=("we got the keys today", "there is a balcony with morning sun"),
        loss=("they gave the flat to somebody else", "we have to leave our old street"),
        wrong=("he raised the rent without a word", "they kept our whole deposit"),
        odd=("the bathroom has no door", "the landlord used to be my teacher"),
        gross=("there is mould behind the cupboards", "something is rotting under the sink"),
        danger=("the ceiling could come down", "somebody has been trying the lock at night"),
        fact=("It is on the third floor.", "The lease starts in May.", "There are two rooms and a hall."),
    ),
    Topic(
        "the job interview", "my boss", "that contract", "at the office",
        good=("they offered me the job", "I can start on the first of June"),
        loss=("they picked the other candidate", "half of the team is leaving"),
        wrong=("she took the credit for my work", "they cut our pay again"),
        odd=("they called me back after one hour", "the director makes the coffee himself"),
        gross=("he clips his nails at his desk", "someone left an old fish in the microwave"),
        danger=("they will close the whole department", "I might forget every answer"),
        fact=("It takes place on Tuesday.", "They want two references.", "The building is near the station."),
    ),
    Topic(
        "the wedding", "my sister", "the white dress", "at the church",
        good=("she asked me to be the witness", "everybody danced until morning"),
        loss=("Grandma could not be there", "they called the whole thing off"),
        wrong=("he insulted our mother in front of everyone", "they never even invited my husband"),
        odd=("the groom came on a horse", "it turns out they were married already"),
        gross=("the oysters had gone bad", "he was sick all over the flowers"),
        danger=("he may not turn up at all", "I could faint in front of all those people"),
        fact=("There are eighty guests.", "The dinner begins at six.", "They booked the hall last year."),
    ),
    Topic(
        "the dog", "the vet", "his old blanket", "in the park",
        good=("he learned to fetch at last", "the puppy slept on my feet all night"),
        loss=("he is too weak to get up", "we had to say goodbye to him"),
        wrong=("somebody kicked him for no reason", "they let that beast run around without a leash"),
        odd=("he opened the door by himself", "she had five puppies in the wardrobe"),
        gross=("he rolled in something dead", "he ate it and threw up on the carpet"),
        danger=("he could run under a car", "the growling is coming closer"),
        fact=("He is four years old.", "We go out twice a day.", "The appointment is on Friday."),
    ),
    Topic(
        "the exam", "our teacher", "my notebook", "in the classroom",
        good=("I passed with the best mark", "the whole class made it"),
        loss=("I failed by a single point", "all that studying was for nothing"),
        wrong=("she accused me of cheating", "they changed the rules on the last day"),
        odd=("the questions were in French", "Tom of all people came first"),
        gross=("there was chewing gum all over my chair", "somebody spat into my bag"),
        danger=("I will forget everything tomorrow", "they could throw me out of school"),
        fact=("It lasts three hours.", "We write it in the big hall.", "The results come by post."),
    ),
    Topic(
        "the trip to the coast", "our guide", "the tent", "on the beach",
        good=("the sea was warm and we swam at sunset", "we got the room with the view"),
        loss=("it rained and everybody went home", "this was our last summer together"),
        wrong=("they sold our seats twice", "our guide just left us standing there"),
        odd=("a seal climbed into our boat", "my cousin was sitting on the same train"),
        gross=("the toilets were overflowing", "there were dead jellyfish between my toes"),
        danger=("the storm is coming straight at us", "the current might pull you out"),
        fact=("The bus leaves at nine.", "We packed two bags.", "It is a drive of four hours."),
    ),
    Topic(
        "the football match", "the coach", "the trophy", "at the stadium",
        good=("we won in the last minute", "my little brother scored twice"),
        loss=("we lost the final after all", "he will never play again"),
        wrong=("the referee robbed us", "they booed their own goalkeeper"),
        odd=("the keeper scored from his own box", "a cat ran across the pitch"),
        gross=("the showers were full of slime", "he wiped his nose on my shirt"),
        danger=("the crowd was pushing us against the fence", "his leg might be broken"),
        fact=("It starts at half past seven.", "We sit in the second row.", "They play in green this year."),
    ),
    Topic(
        "Grandpa's birthday", "Grandpa", "the photo album", "at the dinner table",
        good=("the whole family sang for him", "he laughed like a boy"),
        loss=("he did not remember my name", "Grandma's chair stayed empty"),
        wrong=("nobody bothered to help with the cooking", "they argued about his money at the table"),
        odd=("he used to be a dancer", "he has a twin brother in Canada"),
        gross=("there was a hair in the soup", "the cream had turned sour and green"),
        danger=("he could fall on those stairs", "his heart might not take it"),
        fact=("He turns eighty on Sunday.", "We ordered a cake.", "My aunt brings the chairs."),
    ),
    Topic(
        "the hospital", "the doctor", "the test result", "in the waiting room",
        good=("the baby is healthy", "she may go home tomorrow"),
        loss=("there is nothing more they can do", "she passed away last night"),
        wrong=("they let him wait for nine hours", "the doctor would not even look at her"),
        odd=("it is twins", "he simply stood up and walked"),
        gross=("there was pus all over the bandage", "the sheets had old stains on them"),
        danger=("it could be something serious", "she might not wake up"),
        fact=("Visits are from two to four.", "It is the ward on the left.", "They took some blood today."),
    ),
    Topic(
        "the car", "the mechanic", "the spare key", "in the garage",
        good=("it runs like new again", "we can drive to the lake on Saturday"),
        loss=("we had to sell it", "it was Dad's car and now it is scrap"),
        wrong=("somebody scratched the whole side", "he charged me for a repair that he never did"),
        odd=("it started on its own", "there was a wallet full of cash under the seat"),
        gross=("a mouse died in the heating", "someone left a bag of old meat in the boot"),
        danger=("the brakes do not work", "a lorry keeps following us"),
        fact=("It is twelve years old.", "The inspection is in March.", "I parked it by the bakery."),
    ),
    Topic(
        "the restaurant", "the waiter", "that dish", "at our table",
        good=("the chef sent us a free dessert", "they kept the best table for us"),
        loss=("they are closing it for good", "he sat there all alone on his birthday"),
        wrong=("they threw us out in the middle of dinner", "the waiter shouted at my mother"),
        odd=("the bill was only two pounds", "the cook was on television last night"),
        gross=("there was a cockroach in the salad", "the meat was grey and slimy"),
        danger=("there is smoke coming from the kitchen", "I could be allergic to that"),
        fact=("It opens at noon.", "They have a table for five.", "I had the soup and some bread."),
    ),
    Topic(
        "the neighbours", "the man upstairs", "their parcel", "in the stairwell",
        good=("they baked us a welcome cake", "they watered all my plants while I was away"),
        loss=("the old lady moved to a home", "their little cat never came back"),
        wrong=("they drill every night at two", "he read our post again"),
        odd=("they keep a parrot that speaks Italian", "they moved out without telling anyone"),
        gross=("they leave their dirty nappies on the stairs", "the bins are full of maggots"),
        danger=("somebody is standing behind the door", "he said that he would come back with a knife"),
        fact=("They live on the first floor.", "He works at the post office.", "The meeting is on Thursday."),
    ),
)  # fmt: skip

PATTERNS: dict[str, tuple[str, ...]] = {
    "happy": (
        "I'm so glad that {good}", "{good}, and I can't stop smiling", "this is the best news all week, {good}",
        "we should celebrate, {good}", "thank you, {listener}, you really made my day", "I love it when {good}",
        "{person} was so sweet to me, it felt wonderful", "I feel great about {event} now", "hooray, {good}",
        "I'm really happy for you, {listener}", "we had such a lovely time {place}", "I'm so proud, {good}",
        "come here, {listener}, let me hug you, {good}", "it was fun, I laughed so much {place}",
    ),
    "sad": (
        "I miss how it was before {event}", "{loss}, and I just want to cry", "I feel so alone {place}",
        "it hurts to say it, but {loss}", "I'm sorry, {listener}, {loss}", "I had hoped so much, and then {loss}",
        "I can't look at {thing} without crying", "I keep thinking of {person}, it breaks my heart",
        "it's all over now, {loss}", "I wish it had gone differently with {event}", "{loss}, I feel so empty",
        "nothing will cheer me up, {listener}, not today", "poor {listener}, I'm so sorry for you",
    ),
    "anger": (
        "how dare they, {wrong}", "I've had enough, {wrong}", "don't talk to me about {event}, I'm furious",
        "{wrong}, and nobody even apologised", "this is an outrage, {wrong}", "stop it, {listener}, shut up now",
        "I told {person} a hundred times to leave {thing} alone", "it makes me so mad that {wrong}",
        "they lied to us about {event}", "it's just not fair, {wrong}", "I hate this, {wrong}",
        "I'm done with {person}, do you hear me", "get out of my way, {listener}, I'm warning you",
    ),
    "surprise": (
        "wait, {odd}?", "you must be joking, {odd}?", "I never expected that, {odd}", "no way, {odd}",
        "out of nowhere, {odd}", "hold on, are you telling me that {odd}?", "wow, I had no idea about {event}",
        "{person}, of all people? Really?", "I nearly fell off my chair, {odd}", "imagine that, {odd}",
        "since when do you care about {thing}, {listener}?", "suddenly {odd}, just like that",
    ),
    "disgust": (
        "ugh, {gross}", "that's revolting, {gross}", "it makes me feel sick, {gross}",
        "{gross}, it turned my stomach", "I won't touch {thing}, it's filthy", "the stink {place} was horrible",
        "how can anyone live like that, {gross}", "yuck, keep {thing} away from me",
        "it's sickening how {person} behaves", "I had to hold my nose, {gross}", "gross, {gross}",
        "what a slimy, nasty mess {place}",
    ),
    "fear": (
        "I'm scared, {danger}", "what if {danger}?", "please be careful, {danger}", "I'm so afraid that {danger}",
        "I couldn't sleep, I kept thinking that {danger}", "my hands are shaking, {danger}",
        "don't leave me alone {place}, {listener}, please", "I'm terrified of {event}", "run, {listener}, {danger}",
        "stay close to me, {danger}", "I'm worried sick about {event}", "did you hear that noise {place}? Hide",
    ),
    "neutral": (
        "we can talk about {event} tomorrow", "{person} will call you later", "I put {thing} back {place}",
        "there is a note about {event} {place}", "I'll ask {person} about it", "we meet {place} at ten",
        "{listener}, could you bring {thing}?", "{fact}", "{fact}", "{fact}", "I have to write down the address",
    ),
}  # fmt: skip

# Sentences that say little by themselves; the emotions in which each of them is said.
AMBIGUOUS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("I can't believe it", ("happy", "surprise", "anger", "sad")),
    ("oh my God", ("surprise", "fear", "disgust", "happy")),
    ("I can't believe that {odd}", ("surprise", "anger", "disgust")),
    ("did you see the look on {listener}'s face?", ("happy", "surprise", "anger")),
    ("I don't know what to say", ("sad", "surprise", "happy", "anger")),
    ("why would anyone do that?", ("anger", "disgust", "surprise", "sad")),
    ("I can't look at it", ("disgust", "fear", "sad")),
    ("please don't, {listener}", ("sad", "anger", "fear", "disgust")),
    ("so that's it then", ("sad", "anger", "neutral")),
    ("what happens now?", ("fear", "sad", "surprise", "neutral")),
    ("this changes everything", ("happy", "surprise", "fear")),
    ("just look at {thing}", ("happy", "sad", "disgust", "surprise", "anger")),
    ("they told me about {event}", ("neutral", "sad", "happy", "anger", "fear")),
    ("you won't believe what {person} said", ("anger", "surprise", "happy", "disgust")),
    ("I heard that {loss}", ("sad", "surprise", "fear", "neutral")),
    ("apparently {wrong}", ("anger", "surprise", "disgust", "sad", "neutral")),
    ("they say that {danger}", ("fear", "neutral", "surprise")),
    ("now {good}", ("happy", "surprise", "neutral")),
)  # fmt: skip

SHORT: dict[str, tuple[str, ...]] = {
    "happy": ("Yes!", "Oh, great!", "Really?", "Ha, lovely!"),
    "sad": ("Oh no.", "I know.", "Oh, {listener}.", "Well."),
    "anger": ("Enough!", "What?", "No!", "Oh, great!"),
    "surprise": ("What?", "Really?", "No!", "Oh!"),
    "disgust": ("Yuck!", "Oh no.", "Really?", "Eww."),
    "fear": ("No!", "Oh no.", "Help!", "What?"),
    "neutral": ("Okay.", "I know.", "Right.", "Well."),
}
OPENERS = ("well", "so", "listen", "you know", "look", "okay", "um", "I mean", "right", "honestly", "anyway")
TAILS = ("you know", "I guess", "to be honest", "after all that", "I tell you", "and that's that")
INTRODUCTIONS = (
    "Have you heard about {event}?", "I wanted to tell you about {event}.", "It's about {event} again.",
    "I just came back, {listener}.", "{person} was here this morning.", "Sit down, {listener}.",
)  # fmt: skip
EXCLAMATION = {"happy": 0.4, "anger": 0.5, "surprise": 0.4, "fear": 0.3, "disgust": 0.25, "sad": 0.05, "neutral": 0.03}


def compose_sentence(emotion: str, topic: Topic, listener: str, said: set[str], rng: np.random.Generator) -> str:
    """Say one utterance of `emotion` about `topic` to `listener`.

    `said` holds the patterns that the dialogue has used: empty for its first utterance, which then introduces the
    topic. The new one is added; none comes twice before all of them have been used.
    """
    introduction = not said
    kind = rng.random()
    if kind < 0.07 and not introduction:
        return _fill(_pick(SHORT[emotion], rng), topic, listener, rng)
    patterns = PATTERNS[emotion]
    if kind < 0.22:
        patterns = tuple(pattern for pattern, emotions in AMBIGUOUS if emotion in emotions)
    pattern = _pick(tuple(pattern for pattern in patterns if pattern not in said) or patterns, rng)
    said.add(pattern)
    sentence = _decorate(pattern, emotion, rng)
    if introduction and rng.random() < 0.7:
        sentence = f"{_pick(INTRODUCTIONS, rng)} {sentence}"
    elif rng.random() < 0.2 and "{fact}" not in sentence:
        sentence = f"{sentence} {{fact}}" if rng.random() < 0.5 else f"{{fact}} {sentence}"
    return _fill(sentence, topic, listener, rng)


def _decorate(core: str, emotion: str, rng: np.random.Generator) -> str:
    if core == "{fact}":
        return core
    if rng.random() < 0.35:
        core = f"{_pick(OPENERS, rng)}, {core}"
    if core.endswith("?"):
        return core
    if rng.random() < 0.12:
        core = f"{core}, {_pick(TAILS, rng)}"
    return core + ("!" if rng.random() < EXCLAMATION[emotion] else ".")


def _fill(sentence: str, topic: Topic, listener: str, rng: np.random.Generator) -> str:
    fields = {name: value if isinstance(value, str) else _pick(value, rng) for name, value in topic._asdict().items()}
    filled = sentence.format(listener=listener, **fields)
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), filled)


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[rng.integers(len(choices))]
