"""
Lighter's signatures in plain Python: Poseidon2 over the Goldilocks field, Schnorr over the curve ecGFp5.

An element of GF(p^5) is one integer of five lanes of 160 bits, so that one multiplication of Python's integers is one
of the field. Lanes are kept loose (below 2^78) and brought below p only where bytes are made. Proven by the vectors of
``signing_vectors.json``, ``signing_primitives.json`` and ``signing_sdk_oracle.json``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import shake_256
from typing import Final, NamedTuple

import msgspec

from venues.errors import LocalRuleError

P: Final = (1 << 64) - (1 << 32) + 1
"""The Goldilocks prime."""
ORDER: Final = 1067993516717146951041484916571792702745057740581727230159139685185762082554198619328292418486241
"""Order of the curve's group."""
ATTRIBUTE_NIL: Final[Mapping[int, int]] = {5: 255}
"""A transaction attribute at its nil value (0 unless named here) is not hashed."""

CREATE_ORDER: Final = 14
CANCEL_ORDER: Final = 15
CANCEL_ALL: Final = 16

FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    CREATE_ORDER: (
        *("MarketIndex", "ClientOrderIndex", "BaseAmount", "Price", "IsAsk", "Type", "TimeInForce"),
        *("ReduceOnly", "TriggerPrice", "OrderExpiry"),
    ),
    CANCEL_ORDER: ("MarketIndex", "Index"),
    CANCEL_ALL: ("TimeInForce", "Time"),
    17: ("MarketIndex", "Index", "BaseAmount", "Price", "TriggerPrice"),
    20: ("MarketIndex", "InitialMarginFraction", "MarginMode"),
}
"""Transaction type → its own fields, in the order in which they are hashed and printed (sheet, 2.2)."""


def _words(text: str) -> tuple[int, ...]:
    return tuple(int(text[at : at + 16], 16) for at in range(0, len(text), 16))


# Round constants of Poseidon2, width 12 (fixtures, poseidon2_goldilocks.json): 16 hexadecimal digits a number.
_EXTERNAL: Final = _words(
    "d70193d17ab3b7d6a2c3662a78a9162b7a9fda827556ad44e8d5501818c996434c7a8fced4d5fd3855ab38985c0c513d"
    "28a17bd016210b0b8f8277679ec32fa8768b3c3d68a460e9872a022eb559d941d1316dd4b3b97973a7b608e578321000"
    "3fa02c87b0bee0267a38f0022e13c31e00c054f3c5e8d20d439f50f4bca7242f4d0938aa57cd517fb2e03ac5fb6b9a7d"
    "e29d1f4237bedca805b7c844bc99b84891cc0b73f34e17ed876e4427694bd75567002ae0725c612d05351f20e0b6315f"
    "2e3b9ef5457eb60bd9ac17618c3783dd0807528ad8874bcfc78d546a455d2a0ef8b930c81e2481f0712707d8dff3b041"
    "dcb8c0aa0b9d34c39baddbdf2ee3a4682dd16d50c5176c7889eac5cfbc075cd32a741dea181587f31a4d6aa85a113d84"
    "4d736286a2387e348bad5dfc4fcb3ee384fbd03adb77c56a8d5cdd1a23ec53a2036f08f08fff28ecb717a3f4dbdfb443"
    "58a074b5509d645cf92bf834e4b877181541c3a0baa5ac4b22149e6783e676929be8b5d9e112476f41e0969f62babb76"
    "bc585ad3b9443dbbf28dd3206975cbb1dd8815e53ca045e0de82c416b9e701bac5cb875233afa0257212697cd897ffa9"
    "67844790aa63cfd7dc0b9cfa97fe65c3e8fe091869a8207062902bb2e413c6d129f9f5001fb84f57be1014796ef5f8be"
    "71feb53e9bdba19c251054f592ebb71ce1a57643a4bb284ba4ba6f87a45b739b2c1fcade0b958c49bbb424cda9a3e360"
    "2ca647354c5f3f54c9277b64d152e084dbc9ac97445eff176f6cdf3198969f701de29d14fa76d8f173337458a8cc1d19"
    "b87e775e2fb3ab23f166a1c7a565c80bb24be06f426c747fc281e8c49482ce0051974c3b3b726c2d87444cf8caf7d619"
    "7c362f827a580ced9567af14667647a0cbf0473cbec54e37e3209dedeff4f620d43ad94e45a4c4ee976981ee73f41768"
    "ef707a224e2072582fc779e10e6362ee29b5ee60ad8c891f96b37b39d8bfd667877df68a8b22e7335c41746f562c8d9f"
    "0c9d76751052b71afb3465341bf1c087a0d14dc614d15eb1dc27d17136906fa6482e163b05ec397f0273a462992366ef"
)
_INTERNAL: Final = _words(
    "a571418d95897b608f32676574fcf6d3731102d4e3fb1bbe0330f08328a82d2b7f0449b6557f785d62f06210658dcbcb"
    "d5a98af9f89c458b77ec69083a346385ef7ca48bbc27f89053e9652f61eac532a71c634abff4f0ccb16f5f0d7e28ea29"
    "c9dde31d0a003ab22ddadf9775902533e4fa73fb16408b4790242ebc00d2ee59bb02dffd9f381982dea328364c50907c"
    "1395d3b924857cf87d3ead0d5aec04e6c2f12be3fed746680ba3c338f8c3d285"
)
_DIAGONAL: Final = _words(
    "c3b6c08e23ba9300d84b5de94a324fb60d0c371c5b35b84f7964f570e71880375daf18bbd996604b6743bc47b9595257"
    "5528b9362c59bb70ac45e25b7127b68ba2077d7dfbb606b5f3faac6faee378ae0c6388b51545e883d27dbb6944917b60"
)

# -- the hash


def _mixed(state: Sequence[int]) -> tuple[int, ...]:
    """The external layer; sums are left for the next step to reduce."""
    a, b, c, d, e, f, g, h, i, j, k, m = state
    abcd, efgh, ijkm = a + b + c + d, e + f + g + h, i + j + k + m
    a, b, c, d = abcd + a + b + b, abcd + b + c + c, abcd + c + d + d, abcd + d + a + a
    e, f, g, h = efgh + e + f + f, efgh + f + g + g, efgh + g + h + h, efgh + h + e + e
    i, j, k, m = ijkm + i + j + j, ijkm + j + k + k, ijkm + k + m + m, ijkm + m + i + i
    aei, bfj, cgk, dhm = a + e + i, b + f + j, c + g + k, d + h + m
    return (
        *(a + aei, b + bfj, c + cgk, d + dhm, e + aei, f + bfj),
        *(g + cgk, h + dhm, i + aei, j + bfj, k + cgk, m + dhm),
    )


def _full_round(state: Sequence[int], constants: Sequence[int]) -> tuple[int, ...]:
    """Every place plus its constant to the seventh power, then the external layer."""
    return _mixed(
        [
            (cube := (x := value + constant) * x * x % P) * cube * x % P
            for value, constant in zip(state, constants, strict=True)
        ]
    )


_ROUNDS: Final = tuple(_EXTERNAL[at : at + 12] for at in range(0, 96, 12))

# The inner rounds change eleven of the twelve places by additions and multiplications alone. So one integer of lanes
# holds what those places add up to at the start of each round, and after the last one every place itself: as far as it
# is known, with the sum of each round (times its share of every later lane) added when it comes to be.
_LANE: Final = 136
"""Bits of a lane: 33 products of less than 2^130 each fit."""
_IN_LANE: Final = (1 << _LANE) - 1


def _lanes(values: Sequence[int]) -> int:
    return sum(value << (_LANE * place) for place, value in enumerate(values))


def _powers(exponent: int) -> list[int]:
    """The diagonal's factors for the eleven places, to a power."""
    return [pow(factor, exponent, P) for factor in _DIAGONAL[1:]]


def _shares_of_places() -> tuple[int, ...]:
    """What each of the eleven places adds to every lane at the start."""
    last = len(_INTERNAL)
    rows = [_powers(exponent) for exponent in range(last)]
    ends = _powers(last)
    return tuple(
        _lanes([*(row[place] for row in rows), *(end if at == place else 0 for at, end in enumerate(ends))])
        for place in range(11)
    )


def _shares_of_sums() -> tuple[int, ...]:
    """What the sum of each round adds to every lane after its own."""
    last = len(_INTERNAL)
    totals = [sum(_powers(exponent)) % P for exponent in range(last)]
    return tuple(
        _lanes([*totals[: last - 1 - number], *_powers(last - 1 - number)]) for number in range(len(_INTERNAL))
    )


_PLACES: Final = _shares_of_places()
_INNER: Final = tuple(zip(_INTERNAL, _shares_of_sums(), strict=True))


def permute(state: Sequence[int]) -> list[int]:
    """Poseidon2 on 12 field elements."""
    state = _mixed(state)
    for constants in _ROUNDS[:4]:
        state = _full_round(state, constants)
    head, *rest = state
    lanes = 0
    for value, shares in zip(rest, _PLACES, strict=True):
        lanes += value % P * shares
    factor = _DIAGONAL[0]
    for constant, shares in _INNER:
        x = head + constant
        cube = x * x * x % P
        x = cube * cube * x % P
        total = x + (lanes & _IN_LANE) % P
        head = (x * factor + total) % P
        lanes = (lanes >> _LANE) + total * shares
    state = [head]
    for _ in range(11):
        state.append((lanes & _IN_LANE) % P)
        lanes >>= _LANE
    for constants in _ROUNDS[4:]:
        state = _full_round(state, constants)
    return [value % P for value in state]


def digest(inputs: Sequence[int]) -> tuple[int, ...]:
    """Five field elements: the sponge overwrites up to eight places at a time, without padding."""
    state = [0] * 12
    for at in range(0, len(inputs), 8):
        block = inputs[at : at + 8]
        state[: len(block)] = block
        state = permute(state)
    return tuple(state[:5])


# -- the field of five lanes

_WIDTH: Final = 160
_ONES: Final = sum(1 << (_WIDTH * lane) for lane in range(5))
_SPAN: Final = 5 * _WIDTH
_ALL: Final = (1 << _SPAN) - 1
_LOW64: Final = _ONES * ((1 << 64) - 1)
_LOW32: Final = _ONES * ((1 << 32) - 1)
_FOLD: Final = (1 << 32) - 1
_P1: Final = _ONES * P
_P4: Final = 4 * _P1
_P8: Final = 8 * _P1


def _product(a: int, b: int) -> int:
    """a times b with lanes below 2^66; the sizes of a lane of each may add up to 155 bits."""
    product = a * b
    # z^5 = 3.
    product = (product & _ALL) + 3 * (product >> _SPAN)
    # 2^64 = 2^32 - 1 and 2^96 = -1, modulo p.
    middle = (product >> 64) & _LOW32
    return (product & _LOW64) + middle * _FOLD + _P1 - ((product >> 96) & _LOW64)


def _times_b(a: int) -> int:
    """263z times a; lanes grow by less than 10 bits."""
    shifted = a << _WIDTH
    return 263 * ((shifted & _ALL) + 3 * (shifted >> _SPAN))


def _packed(limbs: Sequence[int]) -> int:
    return sum(limb << (_WIDTH * lane) for lane, limb in enumerate(limbs))


def _limbs(a: int) -> list[int]:
    """The five canonical limbs of an element."""
    lane = (1 << _WIDTH) - 1
    return [(a >> (_WIDTH * place) & lane) % P for place in range(5)]


_FROBENIUS: Final = tuple(pow(3, place * (P - 1) // 5, P) for place in range(5))


def _frobenius(a: Sequence[int]) -> list[int]:
    return [limb * factor % P for limb, factor in zip(a, _FROBENIUS, strict=True)]


def _inverse(a: int) -> int:
    """1/a, by the norm: a^(1+p+p^2+p^3+p^4) lies in GF(p)."""
    first = _frobenius(_limbs(a))
    both = _limbs(_product(_packed(first), _packed(_frobenius(first))))
    rest = _product(_packed(both), _packed(_frobenius(_frobenius(both))))
    norm = _limbs(_product(rest, a))[0]
    return _product(rest, pow(norm, -1, P))


# -- the curve: y^2 = x(x^2 + 2x + 263z), points as (X, Z, U, T)


class _Point(NamedTuple):
    x: int
    z: int
    u: int
    t: int


_NEUTRAL: Final = _Point(0, 1, 0, 1)
_GENERATOR: Final = _Point(
    _packed((12883135586176881569, 4356519642755055268, 5248930565894896907, 2165973894480315022, 2448410071095648785)),
    1,
    1,
    4,
)


def _sum(a: _Point, b: _Point) -> _Point:
    """Complete addition: any two points, doubling included. The offsets keep lanes from going below 0."""
    t1, t2, t3, t4 = _product(a.x, b.x), _product(a.z, b.z), _product(a.u, b.u), _product(a.t, b.t)
    t5 = _product(a.x + a.z, b.x + b.z) + _P8 - t1 - t2
    t6 = _product(a.u + a.t, b.u + b.t) + _P8 - t3 - t4
    bt2 = _times_b(t2)
    t7 = t1 + bt2
    t8 = _product(t4, t7)
    t9 = _product(t3, 2 * (_times_b(t5) + t7))
    t10 = _product(t4 + 2 * t3, t5 + t7)
    return _Point(_times_b(t10 + _P4 - t8), t8 + _P4 - t9, _product(t6, bt2 + _P4 - t1), t8 + t9)


WINDOW: Final = 5
"""Bits of a scalar that one look-up in the table takes: 64 additions a multiplication, 1,984 points in the table."""


@cache
def _table() -> tuple[tuple[_Point, ...], ...]:
    """d * 2^(5i) * G for every window i and digit d; made once a process."""
    rows = []
    base = _GENERATOR
    for _ in range(0, ORDER.bit_length(), WINDOW):
        row = [_NEUTRAL, base]
        for _ in range(2, 1 << WINDOW):
            row.append(_sum(row[-1], base))
        rows.append(tuple(row))
        base = _sum(row[-1], base)
    return tuple(rows)


def _multiple(scalar: int) -> _Point:
    """scalar * G, for 0 <= scalar < ORDER."""
    total = _NEUTRAL
    for row in _table():
        total = _sum(total, row[scalar & ((1 << WINDOW) - 1)])
        scalar >>= WINDOW
    return total


def _encoded(point: _Point) -> list[int]:
    """w = T/U as five limbs; the neutral element has U = 0 and gives 0, as the inverse of 0 would."""
    if not any(_limbs(point.u)):
        return [0] * 5
    return _limbs(_product(point.t, _inverse(point.u)))


def _bytes(limbs: Sequence[int]) -> bytes:
    return b"".join(limb.to_bytes(8, "little") for limb in limbs)


# -- signing


def public_key(secret: int) -> bytes:
    """40 bytes: the encoded point secret * G."""
    return _bytes(_encoded(_multiple(secret)))


class Commitment(NamedTuple):
    """A nonce and its encoded point. Good for ONE signature: two under one nonce give the private key away."""

    nonce: int
    limbs: Sequence[int]


def commitment(nonce: int) -> Commitment:
    return Commitment(nonce, _encoded(_multiple(nonce)))


def _nonce(secret: int, salt: bytes) -> int:
    seed = b"roundtrip/lighter" + secret.to_bytes(40, "little") + salt
    return int.from_bytes(shake_256(seed).digest(80), "little") % ORDER


def signature(secret: int, message: Sequence[int], drawn: Commitment | None = None) -> bytes:
    """
    Schnorr over the five limbs of ``message``: s and e, 40 bytes each, little-endian.

    Args:
        drawn: Never used before. Without one the nonce comes from secret and message, as EdDSA does: no source of
            chance can fail, and two messages never share one.
    """
    nonce, r = drawn or commitment(_nonce(secret, _bytes(message)))
    e = int.from_bytes(_bytes(digest([*r, *message])), "little") % ORDER
    s = (nonce - e * secret) % ORDER
    return s.to_bytes(40, "little") + e.to_bytes(40, "little")


def transaction_digest(
    chain_id: int, tx_type: int, values: Mapping[str, int], attributes: Mapping[int, int] | None = None
) -> tuple[int, ...]:
    """
    What is signed; as 40 bytes of hex it is the ``tx_hash`` of every answer.

    Args:
        values: ``Nonce``, ``ExpiredAt``, ``AccountIndex``, ``ApiKeyIndex`` and the type's own fields.
    """
    head = [chain_id, tx_type, *(values[name] for name in ("Nonce", "ExpiredAt", "AccountIndex", "ApiKeyIndex"))]
    body = digest([value % (1 << 64) % P for value in (*head, *(values[name] for name in FIELDS[tx_type]))])
    kept = sorted((kind, value) for kind, value in (attributes or {}).items() if value != ATTRIBUTE_NIL.get(kind, 0))
    if not kept:
        return body
    pairs = [number for pair in kept for number in pair]
    return digest([*body, *digest([*pairs, *[0] * (8 - len(pairs))])])


def token_digest(message: str) -> tuple[int, ...]:
    """The digest of an auth token's text: its bytes eight at a time, little-endian, the last one padded with zeros."""
    raw = message.encode("ascii")
    return digest([int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)])


class Transaction(NamedTuple):
    """A signed one: ``info`` is the JSON of ``tx_info``, ``hash`` its 80 hexadecimal digits."""

    kind: int
    info: str
    hash: str


AHEAD: Final = 16
"""Commitments that a signer keeps ready."""


class Signer:
    """
    One API key of one account.

    Args:
        private_key: 80 hexadecimal digits, little-endian, ``0x`` in front or not.
        chain_id: 304 mainnet, 300 testnet; part of every signature.

    Raises:
        LocalRuleError: AUTH. Its text never has a part of the secret.
    """

    __slots__ = ("_ahead", "_secret", "account_index", "api_key_index", "chain_id", "public_key")

    def __init__(self, private_key: str, account_index: int, api_key_index: int, chain_id: int) -> None:
        try:
            raw = bytes.fromhex(private_key.strip().removeprefix("0x"))
        except ValueError:
            raw = b""
        if len(raw) != 40:
            raise LocalRuleError("AUTH", "private_key must be the 80 hexadecimal digits of a Lighter API key.")
        self._secret = int.from_bytes(raw, "little") % ORDER
        if not self._secret:
            raise LocalRuleError("AUTH", "private_key is no usable key.")
        self.account_index = account_index
        self.api_key_index = api_key_index
        self.chain_id = chain_id
        self.public_key = public_key(self._secret).hex()
        self._ahead: list[Commitment] = []

    def __repr__(self) -> str:
        return "Signer(•••)"

    def draw_ahead(self, entropy: bytes) -> bool:
        """
        Make the commitment of one later signature, two thirds of its work. False when :data:`AHEAD` are ready.

        Args:
            entropy: 64 bytes that nobody can guess and that were never used before.
        """
        if len(self._ahead) >= AHEAD:
            return False
        if len(entropy) != 64:
            raise ValueError(f"64 bytes of entropy are needed, not {len(entropy)}")
        self._ahead.append(commitment(_nonce(self._secret, b"/ahead" + entropy)))
        return True

    def _sign(self, message: Sequence[int]) -> bytes:
        # Taken out before it is used: whatever happens then, no other message gets it.
        return signature(self._secret, message, self._ahead.pop() if self._ahead else None)

    def transaction(
        self,
        tx_type: int,
        fields: Mapping[str, int],
        *,
        nonce: int,
        expired_at: int,
        attributes: Mapping[int, int] | None = None,
    ) -> Transaction:
        """
        A signed transaction.

        Args:
            expired_at: Unix milliseconds; executed no later than this.
            attributes: ``L2TxAttributes`` by type, such as ``{5: market}`` for a cancel of all orders in one market.
        """
        values = {
            "AccountIndex": self.account_index,
            "ApiKeyIndex": self.api_key_index,
            **{name: fields[name] for name in FIELDS[tx_type]},
            "ExpiredAt": expired_at,
            "Nonce": nonce,
        }
        message = transaction_digest(self.chain_id, tx_type, values, attributes)
        info = {
            **values,
            "Sig": b64encode(self._sign(message)).decode(),
            "L2TxAttributes": {str(kind): value for kind, value in attributes.items()} if attributes else None,
        }
        return Transaction(tx_type, msgspec.json.encode(info).decode(), _bytes(message).hex())

    def token(self, deadline_secs: int) -> str:
        """The auth token that is good until ``deadline_secs``, Unix seconds, at most 8 h ahead."""
        text = f"{deadline_secs}:{self.account_index}:{self.api_key_index}"
        return f"{text}:{self._sign(token_digest(text)).hex()}"
