"""
Who checks Lighter's signatures: Schnorr over ecGFp5 with Poseidon2, read from the sheet's section 2.1 step by step.

It shares no line with the signer of the venue's room and computes in another way (five separate limbs, schoolbook), so
that a slip in one of them cannot hide in the other. A check by somebody who knows the secret takes one to
two milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

PRIME: Final = 2**64 - 2**32 + 1
GROUP: Final = 1067993516717146951041484916571792702745057740581727230159139685185762082554198619328292418486241
"""Number of points of the group."""

Element: TypeAlias = tuple[int, int, int, int, int]
"""Of GF(p^5) = GF(p)[z]/(z^5 - 3), lowest power first."""
Point: TypeAlias = tuple[Element, Element, Element, Element]
"""(X, Z, U, T): x = X/Z and x/y = U/T."""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


_EXTERNAL: Final = _numbers("""
    15492826721047263190 11728330187201910315 8836021247773420868 16777404051263952451 5510875212538051896
    6173089941271892285 2927757366422211339 10340958981325008808 8541987352684552425 9739599543776434497
    15073950188101532019 12084856431752384512 4584713381960671270 8807052963476652830 54136601502601741
    4872702333905478703 5551030319979516287 12889366755535460989 16329242193178844328 412018088475211848
    10505784623379650541 9758812378619434837 7421979329386275117 375240370024755551 3331431125640721931
    15684937309956309981 578521833432107983 14379242000670861838 17922409828154900976 8153494278429192257
    15904673920630731971 11217863998460634216 3301540195510742136 9937973023749922003 3059102938155026419
    1895288289490976132 5580912693628927540 10064804080494788323 9582481583369602410 10186259561546797986
    247426333829703916 13193193905461376067 6386232593701758044 17954717245501896472 1531720443376282699
    2455761864255501970 11234429217864304495 4746959618548874102 13571697342473846203 17477857865056504753
    15963032953523553760 16033593225279635898 14252634232868282405 8219748254835277737 7459165569491914711
    15855939513193752003 16788866461340278896 7102224659693946577 3024718005636976471 13695468978618890430
    8214202050877825436 2670727992739346204 16259532062589659211 11869922396257088411 3179482916972760137
    13525476046633427808 3217337278042947412 14494689598654046340 15837379330312175383 8029037639801151344
    2153456285263517937 8301106462311849241 13294194396455217955 17394768489610594315 12847609130464867455
    14015739446356528640 5879251655839607853 9747000124977436185 8950393546890284269 10765765936405694368
    14695323910334139959 16366254691123000864 15292774414889043182 10910394433429313384 17253424460214596184
    3442854447664030446 3005570425335613727 10859158614900201063 9763230642109343539 6647722546511515039
    909012944955815706 18101204076790399111 11588128829349125809 15863878496612806566 5201119062417750399
    176665553780565743
    """)
_INTERNAL: Final = _numbers("""
    11921381764981422944 10318423381711320787 8291411502347000766 229948027109387563 9152521390190983261
    7129306032690285515 15395989607365232011 8641397269074305925 17256848792241043600 6046475228902245682
    12041608676381094092 12785542378683951657 14546032085337914034 3304199118235116851 16499627707072547655
    10386478025625759321 13475579315436919170 16042710511297532028 1411266850385657080 9024840976168649958
    14047056970978379368 838728605080212101
    """)
_DIAGONAL: Final = _numbers("""
    14102670999874605824 15585654191999307702 940187017142450255 8747386241522630711 6750641561540124747
    7440998025584530007 6136358134615751536 12413576830284969611 11675438539028694709 17580553691069642926
    892707462476851331 15167485180850043744
    """)


# -- Poseidon2


def _seventh(x: int) -> int:
    square = x * x % PRIME
    return square * square * square * x % PRIME


def _external(state: list[int]) -> list[int]:
    mixed: list[int] = []
    for start in (0, 4, 8):
        # The rows (2 3 1 1), (1 2 3 1), (1 1 2 3) and (3 1 1 2).
        a, b, c, d = state[start : start + 4]
        total = a + b + c + d
        mixed += (total + a + 2 * b, total + b + 2 * c, total + c + 2 * d, total + d + 2 * a)
    totals = [mixed[i] + mixed[i + 4] + mixed[i + 8] for i in range(4)] * 3
    return [value + total for value, total in zip(mixed, totals, strict=True)]


def _permuted(state: list[int]) -> list[int]:
    state = _external(state)
    for number in range(8):
        if number == 4:
            for constant in _INTERNAL:
                state[0] = _seventh(state[0] + constant)
                total = sum(state)
                state = [(value * factor + total) % PRIME for value, factor in zip(state, _DIAGONAL, strict=True)]
        constants = _EXTERNAL[12 * number : 12 * number + 12]
        state = _external([_seventh(value + constant) for value, constant in zip(state, constants, strict=True)])
    return [value % PRIME for value in state]


def hash_five(inputs: Sequence[int]) -> Element:
    """H5: a sponge that overwrites up to eight places a time, without padding; the first five places come out."""
    state = [0] * 12
    for start in range(0, len(inputs), 8):
        for place, value in enumerate(inputs[start : start + 8]):
            state[place] = value % PRIME
        state = _permuted(state)
    return (state[0], state[1], state[2], state[3], state[4])


# -- GF(p^5)

ZERO: Final[Element] = (0, 0, 0, 0, 0)
ONE: Final[Element] = (1, 0, 0, 0, 0)
_A: Final[Element] = (2, 0, 0, 0, 0)
_B4: Final[Element] = (0, 4 * 263, 0, 0, 0)


def multiply(a: Element, b: Element) -> Element:
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    return (
        (a0 * b0 + 3 * (a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1)) % PRIME,
        (a0 * b1 + a1 * b0 + 3 * (a2 * b4 + a3 * b3 + a4 * b2)) % PRIME,
        (a0 * b2 + a1 * b1 + a2 * b0 + 3 * (a3 * b4 + a4 * b3)) % PRIME,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + 3 * a4 * b4) % PRIME,
        (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0) % PRIME,
    )


def _plus(a: Element, b: Element) -> Element:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4])


def _minus(a: Element, b: Element) -> Element:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4])


def _by_b(a: Element) -> Element:
    """The curve's b = 263z, times a."""
    return (789 * a[4], 263 * a[0], 263 * a[1], 263 * a[2], 263 * a[3])


def _times(a: Element, factor: int) -> Element:
    return (a[0] * factor, a[1] * factor, a[2] * factor, a[3] * factor, a[4] * factor)


def _reduced(a: Element) -> Element:
    return (a[0] % PRIME, a[1] % PRIME, a[2] % PRIME, a[3] % PRIME, a[4] % PRIME)


def _raised(a: Element, exponent: int) -> Element:
    result = ONE
    for bit in bin(exponent)[2:]:
        result = multiply(result, result)
        if bit == "1":
            result = multiply(result, a)
    return result


_TURN: Final = tuple(pow(3, i * ((PRIME - 1) // 5), PRIME) for i in range(5))


def _to_the_p(a: Element, times: int = 1) -> Element:
    """a^(p^times): limb i times a power of 3."""
    return _reduced(
        (
            a[0],
            a[1] * pow(_TURN[1], times, PRIME),
            a[2] * pow(_TURN[2], times, PRIME),
            a[3] * pow(_TURN[3], times, PRIME),
            a[4] * pow(_TURN[4], times, PRIME),
        )
    )


def _norm(a: Element) -> tuple[int, Element]:
    """N(a), which lies in GF(p), and a^(p + p^2 + p^3 + p^4)."""
    others = ONE
    for times in (1, 2, 3, 4):
        others = multiply(others, _to_the_p(a, times))
    return multiply(a, others)[0], others


def inverse(a: Element) -> Element:
    """1/a; 0 for 0."""
    norm, others = _norm(a)
    return _reduced(_times(others, pow(norm, PRIME - 2, PRIME)))


def _is_square(a: Element) -> bool:
    return pow(_norm(a)[0], (PRIME - 1) // 2, PRIME) == 1


def _root_in_p(n: int) -> int | None:
    """Tonelli and Shanks: p - 1 = 2^32 times an odd number, 7 is no square."""
    if n == 0:
        return 0
    if pow(n, (PRIME - 1) // 2, PRIME) != 1:
        return None
    odd = (PRIME - 1) >> 32
    power, root, rest, twist = 32, pow(n, (odd + 1) // 2, PRIME), pow(n, odd, PRIME), pow(7, odd, PRIME)
    while rest != 1:
        steps, square = 0, rest
        while square != 1:
            square, steps = square * square % PRIME, steps + 1
        factor = pow(twist, 1 << (power - steps - 1), PRIME)
        power, twist = steps, factor * factor % PRIME
        root, rest = root * factor % PRIME, rest * twist % PRIME
    return root


def _root(a: Element) -> Element | None:
    """A square root, None where there is none."""
    if not any(a):
        return ZERO
    root = _root_in_p(_norm(a)[0])
    if root is None:
        return None
    power = _raised(a, (PRIME + 1) // 2)
    halves = multiply(_to_the_p(power, 1), _to_the_p(power, 3))
    return _reduced(_times(inverse(halves), root))


# -- the curve

NEUTRAL: Final[Point] = (ZERO, ONE, ZERO, ONE)
GENERATOR: Final[Point] = (
    (12883135586176881569, 4356519642755055268, 5248930565894896907, 2165973894480315022, 2448410071095648785),
    ONE,
    ONE,
    (4, 0, 0, 0, 0),
)


def add(left: Point, right: Point) -> Point:
    """The complete addition of the sheet."""
    x1, z1, u1, v1 = left
    x2, z2, u2, v2 = right
    t1, t2, t3, t4 = multiply(x1, x2), multiply(z1, z2), multiply(u1, u2), multiply(v1, v2)
    t5 = _minus(_minus(multiply(_plus(x1, z1), _plus(x2, z2)), t1), t2)
    t6 = _minus(_minus(multiply(_plus(u1, v1), _plus(u2, v2)), t3), t4)
    t7 = _plus(t1, _by_b(t2))
    t8 = multiply(t4, t7)
    t9 = multiply(t3, _plus(_times(_by_b(t5), 2), _times(t7, 2)))
    t10 = multiply(_plus(t4, _times(t3, 2)), _plus(t5, t7))
    return (
        _reduced(_by_b(_minus(t10, t8))),
        _minus(t8, t9),
        multiply(t6, _minus(_by_b(t2), t1)),
        _plus(t8, t9),
    )


def encode(point: Point) -> Element:
    """w = T/U; 0 for the neutral point."""
    return multiply(point[3], inverse(_reduced(point[2])))


def decode(w: Element) -> Point | None:
    """The point of w, None for a w that has none."""
    e = _reduced(_minus(multiply(w, w), _A))
    root = _root(_reduced(_minus(multiply(e, e), _B4)))
    if root is None:
        return None if any(w) else NEUTRAL
    half = (PRIME + 1) // 2
    x = _reduced(_times(_plus(e, root), half))
    if _is_square(x):
        x = _reduced(_times(_minus(e, root), half))
    return (x, ONE, ONE, w)


class _Multiples:
    """
    Multiples of one point by the signed digits of a scalar in base 256, each made when it is first asked for: once
    they are there a multiplication is forty additions.
    """

    def __init__(self, point: Point) -> None:
        self._rows: list[dict[int, Point]] = []
        for _ in range(41):
            self._rows.append({1: point})
            for _ in range(8):
                point = add(point, point)

    def of(self, scalar: int) -> Point:
        """``scalar`` times the point, for 0 <= scalar < 2^320."""
        result = NEUTRAL
        for row in self._rows:
            digit, scalar = scalar & 255, scalar >> 8
            if digit > 128:
                digit, scalar = digit - 256, scalar + 1
            if digit:
                x, z, u, t = self._row(row, abs(digit))
                result = add(result, (x, z, u, t) if digit > 0 else (x, z, _minus(ZERO, u), t))
        return result

    def _row(self, row: dict[int, Point], digit: int) -> Point:
        found = row.get(digit)
        if found is None:
            half = self._row(row, digit // 2)
            found = add(half, half)
            if digit % 2:
                found = add(found, row[1])
            row[digit] = found
        return found


@lru_cache(maxsize=1)
def _generator() -> _Multiples:
    return _Multiples(GENERATOR)


def multiple(scalar: int, point: Point = GENERATOR) -> Point:
    """``scalar`` times ``point``, for 0 <= scalar < GROUP."""
    if point == GENERATOR:
        return _generator().of(scalar)
    result = NEUTRAL
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


# -- signatures


def limbs_of(raw: bytes) -> Element | None:
    """40 bytes as five numbers below p, None for anything else."""
    if len(raw) != 40:
        return None
    a, b, c, d, e = (int.from_bytes(raw[start : start + 8], "little") for start in range(0, 40, 8))
    return (a, b, c, d, e) if max(a, b, c, d, e) < PRIME else None


def bytes_of(element: Element) -> bytes:
    return b"".join(limb.to_bytes(8, "little") for limb in element)


def public_key_of(secret: int) -> bytes:
    """The 40 bytes of the public key that belongs to a secret."""
    return bytes_of(encode(multiple(secret % GROUP)))


def is_signed(public_key: bytes, message: Element, signature: bytes, secret: int | None = None) -> bool:
    """
    Whether ``signature`` (s and e, 40 bytes each) is of ``message`` by ``public_key`` (40 bytes).

    Args:
        secret: The key's secret, where it is known: s G + e Q is (s + e secret) G, in a tenth of the time.
    """
    if len(signature) != 80:
        return False
    s, e = int.from_bytes(signature[:40], "little"), int.from_bytes(signature[40:], "little")
    w = limbs_of(public_key)
    key = _point_of(w) if w is not None else None
    if key is None or s >= GROUP or e >= GROUP:
        return False
    point = add(multiple(s), multiple(e, key)) if secret is None else multiple((s + e * secret) % GROUP)
    return int.from_bytes(bytes_of(hash_five([*encode(point), *message])), "little") % GROUP == e


@lru_cache(maxsize=64)
def _point_of(w: Element) -> Point | None:
    return decode(w)
