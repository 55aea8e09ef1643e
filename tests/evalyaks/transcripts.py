"""Conversations for the tests of scoring: one put together by hand, the programme's, and one in which the candidate says it otherwise."""

import dataclasses

from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.writing.plan import plans
from windvane.evalyaks.writing.program import write

OTHERS = {
    "fr": "Je m'appelle Paul et j'aime le football, tous les jours je joue avec mes amis.",
    "es": "Mi nombre es Ana y me gusta mucho la música y bailar con mis amigas los sábados.",
    "de": "Ich heiße Jonas und in meiner Freizeit spiele ich gern Fußball mit meinen Freunden.",
    "it": "Mi chiamo Lucia e nel tempo libero mi piace cucinare con mia nonna la domenica.",
    "pl": "Mam na imię Ewa i w wolnym czasie lubię czytać książki oraz chodzić do kina.",
    "tr": "Benim adım Ayşe ve boş zamanlarımda arkadaşlarımla müzik dinlemeyi çok seviyorum.",
    "ar": "أنا أحب كرة القدم لأنها ممتعة جدا وألعبها كل يوم مع أصدقائي",
    "hi": "मेरा नाम रवि है और मुझे अपने दोस्तों के साथ क्रिकेट खेलना बहुत पसंद है।",
    "ta": "என் பெயர் கவிதா, எனக்கு என் நண்பர்களுடன் விளையாடுவது மிகவும் பிடிக்கும்.",
    "zh": "我喜欢和朋友一起打篮球，因为很有意思，每个周末我们都去公园。",
    "ru": "Меня зовут Анна, и я очень люблю играть в шахматы со своими друзьями.",
    "romanised Hindi": "Mera naam Ravi hai aur mujhe cricket khelna bahut pasand hai kyunki mazaa aata hai",
}


def said(*turns, part=1, **more):
    return Transcript.of(part, [Turn(role, text) for role, text in turns], **more)


def edited(record, change):
    turns = tuple(Turn(t.role, change(t.text)) if t.role == "candidate" else t for t in record.turns)
    return dataclasses.replace(record, turns=turns)


def programmes(count):
    """Of every part, `count` conversations that the programme writes, with its bands."""
    return [write(plan, 5) for plan in plans(count, seed=55)]
